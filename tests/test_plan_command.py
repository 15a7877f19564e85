"""`python -m pipeline.plan`: one network layer by layer, or a sweep arm by arm, before any time is spent."""

import resource
import subprocess
import sys
import time

import pytest
from running import left_in

from pipeline import plan

# 1x8x8 scans through two blocks of 3x3 same, ReLU, 2x2/2 max pool, then flatten and 10 classes, by hand:
# name, type, output shape, parameters, MACs, formula
SMALL = [
    ("block1_conv1", "conv", [4, 8, 8], 40, 2304, "4*(3*3*1+1)"),  # 4*(9+1); 64 positions * 4 * 9
    ("block1_activation1", "relu", [4, 8, 8], 0, 0, ""),
    ("block1_pool1", "max_pool", [4, 4, 4], 0, 0, ""),
    ("block2_conv1", "conv", [8, 4, 4], 296, 4608, "8*(3*3*4+1)"),  # 8*(36+1); 16 * 8 * 36
    ("block2_activation1", "relu", [8, 4, 4], 0, 0, ""),
    ("block2_pool1", "max_pool", [8, 2, 2], 0, 0, ""),
    ("head_flatten", "flatten", [32], 0, 0, ""),
    ("head_classes", "dense", [10], 330, 320, "10*(32+1)"),
]


@pytest.fixture
def quick_estimate(monkeypatch):
    """An estimate without its few seconds of timing."""
    from pipeline.training import calibrate

    monkeypatch.setattr(calibrate, "time_step", lambda *_: (0.01, 0.0001))


def test_document_of_one_network(command, workdir):
    done = command("plan", "architecture.filters=[4,8] output=json")
    assert (done.code, done.err) == (0, "")
    found = done.document
    assert found["input_shape"] == [1, 8, 8]
    keys = ("name", "type", "output_shape", "params", "macs", "formula")
    assert [tuple(layer[key] for key in keys) for layer in found["layers"]] == SMALL
    # 3; 3 + 1*1; 4 + 2*2; 8 + 1*2. Behind the class layer: the whole image.
    assert [layer["receptive_field"] for layer in found["layers"]] == [3, 3, 4, 8, 8, 10, 10, 8]
    assert [layer["jump"] for layer in found["layers"]] == [1, 1, 2, 2, 2, 4, None, None]
    assert found["total"] == {"params": 666, "macs": 7232}
    # 64 of input, 256 + 256 + 64, 128 + 128 + 32, 10: 938 values of 4 bytes for each of 32 images
    assert found["memory"] == {"batch_size": 32, "activation_bytes": 938 * 4 * 32}
    assert found["advice"] == []
    assert left_in(workdir) == []


def test_memory_follows_the_batch(command):
    found = command("plan", "architecture.filters=[4,8] data.batch_size=5 output=json").document
    assert found["memory"] == {"batch_size": 5, "activation_bytes": 938 * 4 * 5}


def test_advice_names_layer_and_reason(command):
    found = command("plan", "architecture.filters=[8,4] architecture.kernel_size=7 data.size=12 output=json").document
    said = [(one["layer"], one["advice"]) for one in found["advice"]]
    assert said == [
        ("input", "use a power of two in place of 12x12"),
        ("block1_conv1", "use a kernel of 2x2 to 5x5 in place of 7x7"),
        ("block2_conv1", "use a kernel of 2x2 to 5x5 in place of 7x7"),
        ("block2_conv1", "use more than the 8 filters of block1_conv1"),
    ]
    assert all(one["reason"] for one in found["advice"])


def test_table_of_one_network(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    done = command("plan", "architecture.filters=[4,8] architecture.kernel_size=7")
    assert done.code == 0
    lines = [line.split() for line in done.out.splitlines()]
    assert ["layer", "type", "output", "params", "=", "MACs", "sees", "jump"] in lines
    # 8*(7*7*4+1) = 1,576; 4*4 positions * 8 * 196 = 25,088; sees 7, 8 after the pool, 8 + 6*2
    assert ["block2_conv1", "conv", "8x4x4", "1,576", "8*(7*7*4+1)", "25,088", "20", "2"] in lines
    # 4*50 + 1,576 + 330; 64*4*49 + 25,088 + 320; 938 * 4 * 32 bytes
    assert "2,106 parameters, 37,952 MACs for one image, activations of a batch of 32: 120 kB in float32" in done.out
    # one line for both layers that the advice is meant for
    assert done.out.count("use a kernel of 2x2 to 5x5 in place of 7x7") == 1
    assert "block1_conv1, block2_conv1: use a kernel" in done.out


def test_narrow_table_keeps_the_numbers(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = command("plan", "architecture.filters=[4,8]").out
    lines = [line.split() for line in out.splitlines()]
    assert ["block2_conv1", "8x4x4", "296", "8*(3*3*4+1)", "4,608", "8"] in lines
    assert max(map(len, out.splitlines())) <= 80
    assert "guidelines" not in out


def test_widths_of_a_matched_network(command):
    # gap head, one block: 11f + 0 parameters of f*(9+1) conv and 10*(f+1) classes: 20f + 10. At kernel 5 they
    # are 26f + 10f + 10 = 36f + 10, so that 90 filters of 3x3 (1,810) are 50 of 5x5 (1,810).
    line = "architecture.filters=[90] architecture.head=gap architecture.kernel_size=5 architecture.match=params"
    found = command("plan", f"{line} 'architecture.match_reference={{kernel_size: 3}}' output=json").document
    assert found["match"]["widths"] == [50]
    assert (found["match"]["target"], found["match"]["reached"], found["match"]["matched"]) == (1810, 1810, True)
    assert found["total"]["params"] == 1810


@pytest.mark.parametrize("line", ["", "architecture=all_conv data.size=32"])
def test_imports_no_torch(workdir, line):
    arguments = ["-X", "importtime", "-m", "pipeline.plan", *line.split()]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120, check=True)
    modules = {row.rpartition("|")[2].strip() for row in done.stderr.splitlines() if row.startswith("import time:")}
    assert {"hydra", "pipeline.architecture.planning"} <= modules
    assert not {m for m in modules if m.partition(".")[0] in ("torch", "pytorch_lightning", "mlflow", "matplotlib")}


def test_answers_at_once(workdir):
    """Under 1.5 s of processor time, which other processes do not add to; on a quiet machine that is wall time."""
    walls, spent = [], []
    for _ in range(3):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, "-m", "pipeline.plan"], capture_output=True, timeout=60, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        walls.append(time.perf_counter() - began)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < 1.5
    assert min(walls) < 3


# One block of 10 filters, no pool, gap head on 1x8x8. By hand, with kernel k:
# parameters 10*(k*k+1) + 10*(10+1), MACs 64*10*k*k + 100. k=3: 210 and 5,860; k=5: 370 and 16,100.
TEN = "architecture.filters=[10] architecture.block=CA architecture.head=gap"


def test_document_of_a_sweep(command, quick_estimate):
    done = command("plan", f"-m {TEN} architecture.kernel_size=3,5 seed=0,1,2 output=json")
    assert done.code == 0
    found = done.document
    assert found["arms"] == [
        {"levels": {"architecture.kernel_size": 3}, "total": {"params": 210, "macs": 5860}},
        {"levels": {"architecture.kernel_size": 5}, "total": {"params": 370, "macs": 16100}},
    ]
    assert (found["runs"], found["seeds"]) == (6, [0, 1, 2])
    params, macs, field = found["confounds"]
    assert params == {
        "factor": "architecture.kernel_size",
        "level": 5,
        "reference": 3,
        "quantity": "params",
        "ratio": pytest.approx(370 / 210),
        "meant": False,
        "text": "kernel_size 5 has 1.8 times the parameters of 3",
    }
    assert (macs["quantity"], macs["ratio"]) == ("macs", pytest.approx(16100 / 5860))
    assert macs["text"] == "kernel_size 5 has 2.7 times the MACs of 3"
    assert (field["quantity"], field["ratio"]) == ("field", pytest.approx(5 / 3))
    assert (found["duplicates"], found["unmatched"]) == ([], [])


def test_confound_of_the_issue(command, quick_estimate):
    """The standard network on 28x28: kernel_size 5 has 2.6 times the parameters of 3."""
    # 3x3: 320 + 18,496 + 73,856 = 92,672 and classes 10*(3*3*128+1) = 11,530; 5x5: 832 + 51,264 + 204,928 = 257,024
    # and the same classes. The ratio of all is 268,554 / 104,202 = 2.577.
    found = command("plan", "-m architecture.kernel_size=3,5 data.size=28 output=json").document
    assert [arm["total"]["params"] for arm in found["arms"]] == [104_202, 268_554]
    assert found["confounds"][0]["text"] == "kernel_size 5 has 2.6 times the parameters of 3"


def test_table_of_a_sweep(command, quick_estimate, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    done = command("plan", f"-m {TEN} architecture.kernel_size=3,5 seed=0,1,2 experiment.meant_to_differ=[macs]")
    assert done.code == 0
    lines = done.out.splitlines()
    assert ["kernel_size=5", "370", "16,100"] in [line.split() for line in lines]
    assert "2 arms x 3 seeds = 6 runs" in lines
    assert "mind: kernel_size 5 has 1.8 times the parameters of 3" in lines
    assert "meant: kernel_size 5 has 2.7 times the MACs of 3" in lines
    assert "of disk" in lines[-1]


DUPLICATES = {
    # a pool that is left out
    "architecture.pool=none architecture.block=CAP,CA": ["block=CAP and block=CA are the same"],
    # an activation that is left out
    "architecture.activation=none architecture.block=CAP,CP": ["block=CAP and block=CP are the same"],
    # the pool's stride, where null means its size
    "architecture.pool_stride=2,null": ["pool_stride=2 and pool_stride=None are the same"],
    # a preset, spelled out
    "architecture=cnn,locally_connected architecture.weight_sharing=true": [
        "architecture=cnn and architecture=locally_connected are the same"
    ],
    # a dropout that drops nothing
    "architecture.block=CADP,CAP architecture.dropout=0": ["block=CADP and block=CAP are the same"],
    # two of four
    "architecture.filters=[4,4],[4] architecture.block=CA,CACA": [
        "filters=[4,4],block=CA and filters=[4],block=CACA are the same"
    ],
    # what differs in training alone is no duplicate
    "optimizer.lr=0.1,0.01": [],
    "optimizer=adam,sgd": [],
    "data.limit_train=64,128": [],
    "architecture.activation=relu,gelu": [],
}


@pytest.mark.parametrize("line", DUPLICATES)
def test_duplicates(command, quick_estimate, line):
    found = command("plan", f"-m {line} output=json").document
    assert [one["text"] for one in found["duplicates"]] == DUPLICATES[line]


@pytest.mark.parametrize("line", ["architecture.kernel_size=3,5,3", "architecture.kernel_size=3,5 seed=0,1,0"])
def test_level_or_seed_listed_twice_is_reported(command, quick_estimate, line):
    """It would train the same run twice, and count it as two."""
    done = command("plan", f"-m {line} output=json")
    assert done.code == 2 or done.document["duplicates"]


def test_unmatched_arm_is_reported(command, quick_estimate):
    # 1x1 kernels: 2f + 10f + 10 = 12f + 10 parameters. 1 filter of 11x11 on 16x16: 122 + 20 = 142, so 11 filters
    # (142) match; of 3x3: 10 + 20 = 30 lies between 1 filter (22) and 2 (34), which is 13 % off.
    line = "architecture.filters=[1] architecture.head=gap architecture.kernel_size=1 architecture.match=params"
    swept = "'architecture.match_reference={kernel_size: 11},{kernel_size: 3}' data.size=16"
    found = command("plan", f"-m {line} {swept} output=json").document
    first, second = found["arms"]
    assert (first["match"]["widths"], first["match"]["matched"]) == ([11], True)
    assert (second["match"]["widths"], second["match"]["matched"]) == ([2], False)
    (text,) = found["unmatched"]
    assert "match_reference={'kernel_size':3}: not matched within 5 %" in text
    assert "34 against 30" in text


def test_impossible_arm_is_refused_by_name(command, workdir):
    done = command("plan", "-m architecture.kernel_size=3,5 architecture.padding=same,valid seed=0,1")
    assert (done.code, done.out) == (2, "")
    # valid 3x3: 8 -> 6 -> 3 -> 1 -> pool of 2 does not fit 1x1
    assert done.err.startswith("error: arm kernel_size=3,padding=valid: architecture.")
    assert "layer block2_pool1" in done.err
    assert done.err.count("\n") == 1
    assert left_in(workdir) == []


def test_impossible_arm_behind_a_long_row_of_possible_ones(command):
    done = command("plan", "-m architecture.kernel_size=1,2,3,4,5,6,7,8,9 seed=0,1,2")
    assert done.code == 2
    assert "arm kernel_size=9: architecture.kernel_size=9: is larger than the 8x8 image" in done.err


def test_estimate_is_measured(command, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = command("plan", f"-m {TEN} architecture.kernel_size=3,5 trainer.max_epochs=1 output=json").document
    cost = found["estimate"]
    assert cost["seconds"] > 0
    assert [one["macs"] for one in cost["timed"]] == [5860, 16100]
    assert all(one["step_s"] > 0 for one in cost["timed"])
    # weights and two moments, twice, in float32: at least 24 bytes for each parameter
    assert cost["disk_bytes"] > 24 * (210 + 370)


def test_no_estimate_where_the_data_is_missing(command, workdir):
    line = "data=mnist data.root=/nowhere architecture.kernel_size=3,5"
    found = command("plan", f"-m {line} output=json").document
    assert [arm["total"]["params"] for arm in found["arms"]] == [113_162, 277_514]
    assert "data.root=/nowhere: no such folder" in found["estimate"]["why_not"]
    done = command("plan", f"-m {line}")
    assert "no estimate of time: data.root=/nowhere: no such folder" in done.out


THOUSAND = (  # 5 x 2 x 5 x 2 x 2 x 5 arms
    "architecture.kernel_size=2,3,4,5,6 architecture.padding=same,valid data.size=32 "
    "architecture.activation=relu,leaky_relu,gelu,tanh,sigmoid architecture.block=CA,CACA "
    "architecture.head=flatten,gap architecture.filters=[4],[6],[4,8],[8,8],[8,4] output=json"
)


@pytest.mark.parametrize(
    "match", ["", "architecture.match=params 'architecture.match_reference={kernel_size: 3}'"], ids=["plain", "matched"]
)
@pytest.mark.slow
def test_thousand_arms(command, quick_estimate, match):
    """Processor time of composing, checking and planning, which a busy machine does not add to."""
    began = time.process_time()
    found = command("plan", f"-m {THOUSAND} {match}").document
    spent = time.process_time() - began
    assert (len(found["arms"]), found["runs"]) == (1000, 1000)
    assert spent < 20


@pytest.mark.parametrize(
    ("bytes_", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (120_064, "120 kB"), (2_500_000_000, "2.5 GB")]
)
def test_size_for_people(bytes_, text):
    assert plan.size(bytes_) == text
