"""Of a sweep's runs one in ten fails: the others count, the verdict says what is missing, and retry mends it."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faulty import KINDS
from running import TINY, call, strict_json

from pipeline import rundir

KERNELS, PADDINGS, SEEDS = (2, 3, 5), ("same", "valid"), range(5)
LINE = (
    f"-m {TINY.replace('[4,8]', '[4]')} trainer.max_epochs=2 architecture.kernel_size=2,3,5 "
    "architecture.padding=same,valid seed=0,1,2,3,4 dir=sweep output=json hydra/launcher=basic"
)
RUNS = [(kernel, padding, seed) for kernel in KERNELS for padding in PADDINGS for seed in SEEDS]


def folder(number):
    kernel, padding, seed = RUNS[number]
    return f"{number:03d}_kernel_size-{kernel}_padding-{padding}_seed-{seed}"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_run_in_ten_fails(workdir, monkeypatch):
    chosen = random.Random(0).sample(range(len(RUNS)), len(RUNS) // 10)
    faults = dict(zip(map(folder, chosen), KINDS, strict=True))
    monkeypatch.setenv("FAULTS", json.dumps(faults))
    line = [sys.executable, str(Path(__file__).with_name("faulty.py")), *LINE.split()]
    done = subprocess.run(line, capture_output=True, text=True, timeout=400)
    assert done.returncode == 1, done.stderr
    document = strict_json(done.stdout)

    # The ledger
    statuses = {Path(run["run"]).name: run["status"] for run in document["runs"]}
    assert statuses == {folder(n): "failed" if n in chosen else "finished" for n in range(len(RUNS))}
    said = {name: rundir.get_status(workdir / "sweep" / name).error for name in faults}
    for name, kind in faults.items():
        wanted = {"nan": "training diverged", "exception": "made to fail", "memory": "Cannot allocate memory"}[kind]
        assert wanted in said[name]
        assert f"failed: sweep/{name}: {said[name]}" in done.stderr
        assert (workdir / "sweep" / name / "checkpoints" / "last.ckpt").exists()
    assert "Traceback" not in done.stderr

    # The verdict, by hand: a pair is complete where all kernel sizes have a result
    verdict = document["verdict"]
    acc = {RUNS[n]: run["metrics"]["test/acc"] for n, run in enumerate(document["runs"]) if n not in chosen}
    left = [(p, s) for p in PADDINGS for s in SEEDS if all((k, p, s) in acc for k in KERNELS)]
    levels = verdict["factors"]["architecture.kernel_size"]["levels"]
    assert [level["level"] for level in levels] == list(KERNELS)
    for kernel, level in zip(KERNELS, levels, strict=True):
        by_seed = [[acc[kernel, p, s] for p in PADDINGS if (p, s) in left] for s in SEEDS]
        assert level["values"] == pytest.approx([np.mean(values) for values in by_seed if values])
    gone = [
        {
            "seed": RUNS[n][2],
            "cell": {"architecture.padding": RUNS[n][1]},
            "levels": [RUNS[n][0]],
        }
        for n in chosen
    ]
    missing = verdict["factors"]["architecture.kernel_size"]["missing"]
    assert sorted(missing, key=str) == sorted(gone, key=str)
    assert (verdict["runs"]["failed"], verdict["runs"]["compared"]) == (3, 27)
    assert sorted(Path(one["dir"]).name for one in verdict["runs"]["excluded"]) == sorted(faults)

    # The same command leaves it so, one with retry=true mends it
    assert call(workdir, "train", LINE).code == 1
    mended = call(workdir, "train", f"{LINE} retry=true")
    assert mended.code == 0, mended.err
    assert mended.err.count("is tried again") == len(faults)
    undisturbed = call(workdir, "train", LINE.replace("dir=sweep", "dir=undisturbed"))
    assert [run["metrics"] for run in mended.document["runs"]] == [
        run["metrics"] for run in undisturbed.document["runs"]
    ]
    assert mended.document["verdict"]["factors"]["architecture.kernel_size"]["missing"] == []
