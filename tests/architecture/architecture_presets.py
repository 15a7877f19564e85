"""The presets of conf/architecture as sections, without Hydra's start-up."""

import re
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from pipeline.architecture import Section, section

FOLDER = Path(__file__).parents[2] / "conf" / "architecture"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
CONV_STACKS = [name for name in NAMES if name not in ("mlp", "text_cnn", "timm")]
FOR_IMAGES = [name for name in NAMES if name != "text_cnn"]


def preset(name: str, **changes: Any) -> Section:
    """The section of conf/architecture/NAME.yaml, on top of the preset that its defaults list names."""
    return section({**_keys(name), **changes})


def _keys(name: str) -> dict[str, Any]:
    keys = OmegaConf.to_container(OmegaConf.load(FOLDER / f"{name}.yaml"))
    assert isinstance(keys, dict)
    base = keys.pop("defaults")[0]
    kind = re.fullmatch(r"/schema_(\w+)@_here_", base)
    below = {"type": kind[1]} if kind else _keys(base)
    return {**below, **keys}
