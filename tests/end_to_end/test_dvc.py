"""`dvc repro` in a copy of the checkout: what changed is run again, and nothing else."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from running import REPOSITORY, Done

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STAGES = ["prepare", "sweep", "compare"]
TRANSFER = ["pretrain", "transfer", "report"]
SHORT = ["compare", "report"]  # what `make repro` asks for
FACTORS = {"block": ["CACAP", "CAP"], "kernel_size": ["3", "5"], "padding": ["same", "valid"]}
LEVELS = [(f"architecture.{factor}", level) for factor, levels in FACTORS.items() for level in levels]


def copied(folder):
    """The files of this checkout in a repository of their own, in one commit."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.split("\0"):
        if name and (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / name)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "config", "user.name", "somebody")
    git(folder, "config", "user.email", "somebody@localhost")
    commit(folder)
    return folder


def git(folder, *arguments):
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


def commit(folder):
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message=as it is")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout with a demo of eight short runs and a transfer of 15, reproduced once."""
    folder = copied(tmp_path_factory.mktemp("dvc") / "checkout")
    change(folder / "conf/experiment/demo.yaml", "max_epochs: 8", "max_epochs: 1\n  threads: 1")
    change(folder / "conf/experiment/demo.yaml", "  size: 32", "  size: 32\n  limit_train: 64")
    change(folder / "conf/experiment/demo.yaml", "seeds: auto\n", "")
    params = folder / "params.yaml"
    change(params, "filters=[8,16,32]", "filters=[8,16,32] trainer.threads=1 tracking=none")
    change(
        params, "data.split_seed=0 trainer.max_epochs=20", "data.split_seed=0 data.limit_train=64 trainer.max_epochs=1"
    )
    change(params, "trainer.max_epochs=200", "trainer.max_epochs=1")
    done = dvc(folder, "repro", *SHORT)
    assert done.code == 0, done.err + done.out
    return folder


def dvc(folder, *arguments):
    """The project's own dvc, on the code of `folder`: its stages call `python`."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    env |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}", "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(["dvc", *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=600)
    return Done(done.returncode, done.stdout, done.stderr)


def change(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1, f"{old} in {path}"
    path.write_text(text.replace(old, new))


def pending(folder):
    """The stages whose own dependencies changed; those that follow are known once these have run."""
    done = dvc(folder, "repro", "--dry", *SHORT)
    assert done.code == 0, done.err
    return ran(done)


def ran(done, stages=STAGES):
    """Which of `stages` a repro ran, in order."""
    return [stage for stage in stages if f"Running stage '{stage}'" in done.out]


@pytest.fixture
def edited(checkout):
    """Edit a file of the checkout for one test: edited("conf/trainer/cpu.yaml", "\\n# changed")."""
    before = {}

    def edit(name, old, new=None):
        path = checkout / name
        before.setdefault(path, path.read_text())
        if new is None:
            path.write_text(path.read_text() + old)
        else:
            change(path, old, new)

    yield edit
    for path, text in before.items():
        path.write_text(text)


def test_repro_leaves_the_verdict_and_its_numbers(checkout):
    reports = checkout / "reports/demo"
    sweep = json.loads((reports / "sweep.json").read_text())
    assert len(sweep["runs"]) == 8
    assert {run["status"] for run in sweep["runs"]} == {"finished"}
    assert all((checkout / run["run"] / "run.json").exists() for run in sweep["runs"])
    verdict = json.loads((reports / "verdict.json").read_text())
    assert verdict["factors"] == sweep["verdict"]["factors"]
    assert "<html" in (reports / "report.html").read_text()
    with open(reports / "verdict.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "level"]
    assert sorted((row["factor"], row["level"]) for row in rows) == LEVELS
    # each level's mean is over its four runs, by hand
    jobs = json.loads((checkout / sweep["sweep"] / "sweep.json").read_text())["jobs"]
    for row in rows:
        own = [
            run["metrics"]["test/acc"]
            for run, job in zip(sweep["runs"], jobs, strict=True)
            if str(job["levels"][row["factor"]]) == row["level"]
        ]
        assert len(own) == 4
        assert float(row["mean"]) == pytest.approx(sum(own) / 4)


def test_second_repro_does_nothing(checkout):
    before = (checkout / "dvc.lock").read_text()
    done = dvc(checkout, "repro", *SHORT)
    assert done.code == 0, done.err
    assert ran(done) == []
    assert "Data and pipelines are up to date." in done.out
    assert (checkout / "dvc.lock").read_text() == before
    assert dvc(checkout, "status", *STAGES, *TRANSFER).out.strip() == "Data and pipelines are up to date."


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("conf/trainer/cpu.yaml", ["sweep"]),
        ("conf/architecture/cnn.yaml", ["sweep"]),
        ("conf/optimizer/adam.yaml", ["sweep"]),
        ("conf/tracking/local.yaml", ["sweep"]),
        ("conf/config.yaml", ["sweep"]),
        ("pipeline/training/module.py", ["sweep"]),
        ("pipeline/architecture/geometry.py", ["sweep"]),
        ("conf/compare.yaml", ["compare"]),
        ("pipeline/evidence/paired.py", ["sweep", "compare"]),
        # what the demo does not read
        ("conf/experiment/demo.yaml", []),  # a comment: its values are parameters
        ("conf/architecture/mlp.yaml", []),
        ("conf/experiment/kernel_size.yaml", []),
        ("conf/trainer/gpu.yaml", []),
        ("README.md", []),
    ],
)
def test_changed_file_reruns_its_stages_alone(checkout, edited, name, stages):
    edited(name, "\n# changed\n")
    assert pending(checkout) == stages


@pytest.mark.parametrize(
    ("old", "new", "stages"),
    [("lr: 0.003", "lr: 0.002", ["sweep"]), ("expects: not_worse", "expects: better", ["sweep"]),
     ("  split_seed: 0", "  split_seed: 1", ["prepare", "sweep"])],
)  # fmt: skip
def test_changed_parameter_of_the_demo_reruns_its_stages(checkout, edited, old, new, stages):
    edited("conf/experiment/demo.yaml", old, new)
    assert pending(checkout) == stages


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        # changes nothing that is prepared, and everything that is trained
        ("conf/data/digits.yaml", "batch_size: 32", "batch_size: 16"),
        # decides the order of the examples, which no prepared file shows
        ("pipeline/data/loader.py", "import numpy as np", "import numpy as np  # changed"),
    ],
)
def test_data_file_that_decides_training_reruns_prepare_and_sweep(checkout, edited, name, old, new):
    edited(name, old, new)
    assert pending(checkout)[0] == "prepare"
    assert dvc(checkout, "repro", "prepare").code == 0
    assert "sweep" in pending(checkout)


def test_changed_trainer_reruns_sweep_and_compare(checkout, edited):
    """For real: shorter gradients give other curves on every machine, and the data is not prepared again."""
    dvc(checkout, "repro", *SHORT)
    data = (checkout / "reports/demo/data.json").stat().st_mtime_ns
    edited("conf/trainer/cpu.yaml", "\ngradient_clip_val: 0.1\n")
    done = dvc(checkout, "repro", *SHORT)
    assert done.code == 0, done.err
    assert ran(done) == ["sweep", "compare"]
    assert (checkout / "reports/demo/data.json").stat().st_mtime_ns == data
    sweep = json.loads((checkout / "reports/demo/sweep.json").read_text())
    run = json.loads((checkout / sweep["runs"][0]["run"] / "run.json").read_text())
    assert run["config"]["trainer"]["gradient_clip_val"] == 0.1
    assert ran(dvc(checkout, "repro", *SHORT)) == []


def test_changed_compare_reruns_compare_alone(checkout, edited):
    dvc(checkout, "repro", *SHORT)
    sweep = (checkout / "reports/demo/sweep.json").read_text()
    edited("conf/compare.yaml", "\n# changed\n")
    done = dvc(checkout, "repro", *SHORT)
    assert done.code == 0, done.err
    assert ran(done) == ["compare"]
    assert (checkout / "reports/demo/sweep.json").read_text() == sweep


def test_metrics_of_a_clean_checkout_are_those_that_were_committed(tmp_path):
    folder = copied(tmp_path / "checkout")
    shown = dvc(folder, "metrics", "show", "--json")
    assert (shown.code, shown.err) == (0, "")
    assert sorted(Path(path).name for path in json.loads(shown.out)[""]["data"]) == [
        *(f"{factor}.json" for factor in sorted([*FACTORS, "transfer"])),
    ]
    diff = dvc(folder, "metrics", "diff")
    assert (diff.code, diff.out, diff.err) == (0, "", "")
    assert dvc(folder, "plots", "show").code == 0
    assert git(folder, "status", "--porcelain") == ""


def test_metrics_show_what_each_factor_came_to(checkout):
    done = dvc(checkout, "metrics", "show", "--json")
    assert (done.code, done.err) == (0, "")
    shown = json.loads(done.out)[""]["data"]
    for part in ("demo", "transfer"):
        verdict = json.loads((checkout / f"reports/{part}/verdict.json").read_text())
        for factor, entry in verdict["factors"].items():
            row = shown.pop(f"reports/{part}/metrics/{factor.rpartition('.')[2]}.json")["data"]
            levels = {str(level["level"]): level for level in entry["levels"]}
            first, second = levels.pop(row["best"]), levels[row["next"]]
            assert row["best"] == str(entry["best"])
            assert first["mean"] >= second["mean"] == max(level["mean"] for level in levels.values())
            assert (row["verdict"], row["n"], row["mean"]) == (first["verdict"], first["n"], first["mean"])
            assert row["difference"] == pytest.approx(first["mean"] - second["mean"])
            if second["low"] is not None:
                assert (row["low"], row["high"]) == (-second["high"], -second["low"])
    assert shown == {}
    table = dvc(checkout, "metrics", "show").out.splitlines()
    assert len(table) == 5
    assert max(map(len, table)) < 140
    changed = dvc(checkout, "metrics", "diff", "--json")  # eight short runs are not the demo that was committed
    assert (changed.code, changed.err) == (0, "")
    assert "mean" in json.loads(changed.out)["reports/demo/metrics/block.json"]


def test_plots_show_needs_no_network(checkout, tmp_path):
    done = dvc(checkout, "plots", "show", "--out", str(tmp_path / "plots"))
    assert (done.code, done.err) == (0, "")
    page = (tmp_path / "plots/index.html").read_text()
    assert not re.search(r"<script|<link|https?:|@import|url\(", page)
    images = re.findall(r'src="([^"]+)"', page)
    for image in images:
        pixels = np.asarray(Image.open(tmp_path / "plots" / image).convert("L"))
        assert (pixels[:, :2] > 250).all(), f"{image} is cut off at its left edge"
    for part, factors in (("demo", [f"architecture.{factor}" for factor in FACTORS]), ("transfer", ["transfer"])):
        for factor in factors:
            for kind in ("seeds", "curve.val_acc"):
                assert any(f"{part}_plots_{factor}.{kind}.png" in image for image in images)


def test_experiments_over_the_parameters_of_demo_and_transfer(checkout):
    """Fewer seeds and strategies, another smallest effect; then what was committed, from the runs that there are."""
    dvc(checkout, "repro", *SHORT)
    commit(checkout)
    before = {path: path.read_text() for path in sorted(checkout.glob("reports/*/metrics/*"))}
    asked = ["transfer.seeds='0,1'", "transfer.strategies='head_only,retrain'", "transfer.images=50"]
    asked.append("conf/experiment/demo.yaml:experiment.smallest_effect=0.05")
    try:
        done = dvc(checkout, "exp", "run", "--name", "fewer", *(f"--set-param={one}" for one in asked), *SHORT)
        assert done.code == 0, done.err + done.out
        assert ran(done, [*STAGES, *TRANSFER]) == ["sweep", "compare", "transfer", "report"]
        changed = [line.split()[-1] for line in git(checkout, "status", "--porcelain").splitlines()]
        assert {"dvc.lock", "params.yaml", "conf/experiment/demo.yaml"} < set(changed)
        assert all(one.startswith(("dvc.lock", "params", "conf/", "reports/")) for one in changed)
        table = dvc(checkout, "exp", "show", "--csv", "--only-changed").out
        rows = {row["Experiment"] or row["rev"]: row for row in csv.DictReader(table.splitlines())}
        base, fewer = rows["main"], rows["fewer"]
        assert (base["transfer.seeds"], fewer["transfer.seeds"]) == ("0,1,2", "0,1")
        assert fewer["transfer.strategies"] == "head_only,retrain"
        assert (base["experiment.smallest_effect"], fewer["experiment.smallest_effect"]) == ("0.02", "0.05")
        assert {row["reports/transfer/metrics/transfer.json:n"] for row in (base, fewer)} == {"3", "2"}
    finally:
        git(checkout, "restore", "--staged", "--worktree", ".")
    done = dvc(checkout, "repro", *SHORT)
    assert done.code == 0, done.err + done.out
    assert {path: path.read_text() for path in before} == before
    assert dvc(checkout, "metrics", "diff").out == ""


def test_transfer_starts_from_what_was_pretrained(checkout):
    dvc(checkout, "repro", "report")
    reports = checkout / "reports/transfer"
    source = checkout / json.loads((reports / "source.json").read_text())["run"]
    sweep = json.loads((reports / "sweep.json").read_text())
    assert len(sweep["runs"]) == 15
    assert {run["status"] for run in sweep["runs"]} == {"finished"}
    begun = [json.loads((checkout / run["run"] / "run.json").read_text()) for run in sweep["runs"]]
    loaded = [Path(one["transfer"]["source"]["file"]) for one in begun if one["transfer"]["source"]["file"]]
    assert len(loaded) == 9  # head_only, early_layers and fine_tune, three seeds
    # Pretrained again to the same weights, as by a test above, it is the same source under another name.
    weights = torch.load(source / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    for file in set(loaded):
        torch.testing.assert_close(torch.load(file, weights_only=True)["state_dict"], weights, rtol=0, atol=0)
    classes = {tuple(one["dataset"]["classes"]) for one in begun}
    assert len(classes) == 1  # the same half for every seed
    assert not set(*classes) & set(json.loads((source / "run.json").read_text())["dataset"]["classes"])
    verdict = json.loads((reports / "verdict.json").read_text())
    assert verdict["factors"] == sweep["verdict"]["factors"]
    assert ran(dvc(checkout, "repro", "report"), TRANSFER) == []


def test_another_target_is_no_other_source(checkout, edited):
    dvc(checkout, "repro", "report")
    edited("params.yaml", "images: 50", "images: 40")
    done = dvc(checkout, "repro", "report", "--dry")
    assert done.code == 0, done.err
    assert ran(done, TRANSFER) == ["transfer"]


def test_claims_are_answered_one_by_one_and_once(checkout):
    """Of the claims two, quickly: their stages, the index behind them, and nothing at a second call."""
    names = ["padding", "stride"]
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy2(checkout / name, checkout / f"{name}.before")
    text = (checkout / "dvc.yaml").read_text()
    text = re.sub(r"foreach: \[[^\]]*\]", f"foreach: [{', '.join(names)}]", text)
    text = re.sub(rf"      - reports/evidence/(?!{'|'.join(names)})\w+\.json\n(?!          cache)", "", text)
    (checkout / "dvc.yaml").write_text(text)
    quickly = "data.limit_train=64 trainer.max_epochs=1 optimizer.lr=0.001 seeds=null seed=0,1 tracking=none"
    params = checkout / "params.yaml"
    params.write_text(re.sub(r"(?m)^evidence: .*$", f"evidence: {quickly}", params.read_text()))
    try:
        first = dvc(checkout, "repro", "evidence", "claim@padding")
        assert first.code == 0, first.err + first.out
        stages = [*(f"claim@{name}" for name in names), "evidence"]
        assert sorted(ran(first, stages)) == sorted(stages)
        found = json.loads((checkout / "reports/evidence/claims.json").read_text())
        assert names == sorted(one["experiment"] for one in found["experiments"])
        page = (checkout / "reports/evidence/index.html").read_text()
        assert "Same padding is better than valid" in page
        assert ran(dvc(checkout, "repro", "evidence"), stages) == []
    finally:
        for name in ("dvc.yaml", "params.yaml"):
            (checkout / f"{name}.before").replace(checkout / name)
