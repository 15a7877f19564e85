import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from pipeline.data import Data
from pipeline.data.formats import FORMATS
from pipeline.errors import InputError

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "source",
            "digit",
            "data.source=digit: must be one of digits, photo_patches, placed_digits, idx, image_folder, manifest, npz, "
            "cifar. "
            "Did you mean 'digits'?",
        ),
        ("name", "a/b", "data.name=a/b: must be letters, digits, '_', '.' or '-'."),
        ("name", "..", "data.name=..: must be letters, digits, '_', '.' or '-'."),
        ("root", " ", "data.root= : must be a folder, or null for raw/digits."),
        ("size", 0, "data.size=0: must be at least 1."),
        ("size", 8.0, "data.size=8.0: must be a whole number, at least 1."),
        ("resize", "padd", "data.resize=padd: must be one of pad, stretch, crop. Did you mean 'pad'?"),
        ("val_fraction", 0, "data.val_fraction=0: must be a fraction, above 0 and below 1."),
        ("val_fraction", float("nan"), "data.val_fraction=nan: must be a fraction, above 0 and below 1."),
        ("test_fraction", 1.0, "data.test_fraction=1.0: must be a fraction, above 0 and below 1."),
        (
            "test_fraction",
            0.95,
            "data.val_fraction=0.1 and data.test_fraction=0.95: must add up to less than 1",
        ),
        (
            "limit_train",
            0,
            "data.limit_train=0: must be a whole number of training examples, at least 1, a frac",
        ),
        ("limit_train", 1.5, "data.limit_train=1.5: must be a whole number"),
        ("limit_train", True, "data.limit_train=True: must be a whole number"),
        ("limit_train", "half", "data.limit_train=half: must be a whole number"),
        ("group", "patient", "data.group=patient: data.source=digits knows no groups; leave it null."),
        ("split_seed", -1, "data.split_seed=-1: must be at least 0."),
        ("batch_size", 0, "data.batch_size=0: must be at least 1."),
        ("num_workers", -1, "data.num_workers=-1: must be at least 0."),
        ("messy", 1.1, "data.messy=1.1: must be a strength, from 0 (as it is) to 1."),
        ("messy", float("nan"), "data.messy=nan: must be a strength"),
        ("messy_seed", -1, "data.messy_seed=-1: must be at least 0."),
        ("max_pixels", 0, "data.max_pixels=0: must be at least 1."),
        ("manifest", "a.csv", "data.manifest=a.csv: data.source=digits reads none; use data=manifest."),
        ("prepared_dir", "", "data.prepared_dir=: must be a folder."),
    ],
)
def test_a_bad_field_is_named_with_its_value_and_what_is_allowed(field: str, value: object, message: str) -> None:
    with pytest.raises(InputError) as error:
        Data(**{field: value})  # type: ignore[arg-type]
    assert str(error.value).startswith(message)


def test_a_manifest_must_be_named() -> None:
    with pytest.raises(InputError, match=r"data\.manifest=None: must be the CSV file"):
        Data(source="manifest")


@pytest.mark.parametrize("limit", [None, 1, 500, 0.25, 1.0])
def test_limits_that_are_allowed(limit: object) -> None:
    assert Data(limit_train=limit).limit_train == limit


@pytest.mark.parametrize("path", sorted((REPOSITORY / "conf/data").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_of_the_group_fits_the_schema(path: Path) -> None:
    raw = OmegaConf.load(path)
    base, *_ = raw.pop("defaults", [path.stem])  # another set's file, of which it changes something
    if base != path.stem:
        raw = OmegaConf.merge(OmegaConf.load(path.with_stem(base)), raw)
    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Data), raw))
    assert isinstance(config, Data)
    assert config.name == base
    assert config.source in FORMATS
    assert path.read_text().startswith("#")


def test_importing_the_package_leaves_the_heavy_ones_alone() -> None:
    heavy = {"torch", "sklearn", "scipy", "cv2", "PIL"}
    code = f"import sys, pipeline.data; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
