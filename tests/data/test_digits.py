from pathlib import Path

import numpy as np
import pytest

from pipeline.data import Data, describe, prepare
from pipeline.errors import InputError

DIGEST = "933fa1be3156d8abc01b179e8dd86659f283846808df08184556f32879c96df6"


def test_all_of_them_are_there(tmp_path: Path) -> None:
    config = Data(prepared_dir=str(tmp_path / "prepared"))
    prepared = prepare(config, seed=0)
    assert prepared.digest == DIGEST
    assert prepared.images.shape == (1797, 8, 8, 1)
    assert isinstance(prepared.images, np.memmap)
    assert not prepared.images.flags.writeable
    assert prepared.images.max() == 255
    assert len(np.unique(prepared.images)) == 17
    counts = {
        "0": 178,
        "1": 182,
        "2": 177,
        "3": 183,
        "4": 181,
        "5": 182,
        "6": 181,
        "7": 179,
        "8": 174,
        "9": 180,
    }
    assert prepared.manifest["counts"] == {"all": counts}

    document = describe(prepared, config, 0).document()
    assert {"dataset", "digest", "counts", "quarantined", "duplicates"} <= set(document)
    assert document["quarantined"] == []
    assert {name: sum(part.values()) for name, part in document["counts"].items()} == {
        "train": 1258,
        "val": 180,
        "test": 359,
    }
    for name, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        assert all(abs(document["counts"][name][k] - share * n) <= 1 for k, n in counts.items())
    assert document["duplicates"] == []


def test_enlarged(tmp_path: Path) -> None:
    prepared = prepare(Data(size=16, prepared_dir=str(tmp_path)), seed=0)
    assert prepared.input_shape == (1, 16, 16)


def test_a_root_would_have_no_effect(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^data\.root=/nowhere: no such folder\.$"):
        prepare(Data(root="/nowhere", prepared_dir=str(tmp_path / "prepared")), seed=0)
    with pytest.raises(InputError, match=r"data\.source=digits is embedded and reads no folder; leave it null\.$"):
        prepare(Data(root=str(tmp_path), prepared_dir=str(tmp_path / "prepared")), seed=0)
    assert not any(tmp_path.iterdir())
