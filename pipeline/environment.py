"""Where a run was made: versions, machine, commit. Written into run.json, never read back."""

import functools
import os
import platform
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"  # of a checkout; an installed package has none
PACKAGES = ("torch", "pytorch-lightning", "hydra-core", "mlflow", "numpy", "torchmetrics")


@functools.cache
def describe() -> dict[str, Any]:
    """Python, the packages that decide numbers, processor, cores."""
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _cpu_flags() -> set[str]:
    """What Linux says that an x86 processor can do; nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return set(next(line.split(":", 1)[1] for line in lines if line.startswith("flags")).split())
    except (OSError, StopIteration):
        return set()


@functools.cache
def git_sha() -> str | None:
    """The commit of the code, with `-dirty` where the tree differs from it; None outside a checkout."""
    where = PROJECT.parent
    if not PROJECT.exists():  # installed, maybe below somebody else's repository
        return None
    try:
        sha = subprocess.run(["git", "rev-parse", "HEAD"], cwd=where, capture_output=True, text=True, timeout=10)
        diff = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=where, capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return sha.stdout.strip() + ("-dirty" if diff.stdout.strip() else "") if sha.returncode == 0 else None


def our_version() -> str:
    """As in 0.1.0."""
    if PROJECT.exists():
        return str(tomllib.loads(PROJECT.read_text())["project"]["version"])
    return version("convtrial")


def described() -> str:
    """Our version, with the commit where it is known, and the packages that decide numbers."""
    commit = git_sha()
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"convtrial {our_version()}{f' ({commit})' if commit else ''}\n{packages}"


def native_bf16(accelerator: str) -> bool:
    """Whether bfloat16 arithmetic runs in hardware here; emulated, it is slower than float32."""
    if accelerator == "cpu" and (flags := _cpu_flags()):  # two seconds before torch is imported
        return not flags.isdisjoint(("avx512_bf16", "amx_tile"))
    import torch

    if accelerator == "gpu":  # planned where there is none, as on a login node: those that trains on will have it
        return not torch.cuda.is_available() or torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
