"""A kind of input is an entry in one table."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.config import Config
from pipeline.data import Data, describe, prepare
from pipeline.data.formats import FORMATS
from pipeline.data.kinds import KINDS
from pipeline.errors import InputError

# Digits taken for what eight microphones heard, and what is asked of that.
HEARD = replace(
    KINDS["image"],
    name="heard",
    noun="recording",
    own_keys=("batch_size",),
    input_shape=lambda prepared: (prepared.images.shape[2], prepared.images.shape[1], 1),
    normalisation=lambda sounds, some: (sounds[some].mean((0, 1)), sounds[some].std((0, 1))),
    sheet=lambda prepared: "<p>loud and quiet</p>",
    shape_in_words=lambda shape: f"{shape[1]} samples of {shape[0]} microphones",
    augmentations=("cutout",),
    pictured=False,
    spelled=False,
)


@pytest.fixture
def heard(monkeypatch):
    monkeypatch.setitem(KINDS, "heard", HEARD)
    monkeypatch.setitem(FORMATS, "digits", replace(FORMATS["digits"], kind="heard"))


def test_an_entry_is_all_that_a_prepared_set_needs_to_be_described(tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS, "heard", HEARD)
    config = Data(prepared_dir=str(tmp_path))
    images = prepare(config, 0)
    assert images.kind is KINDS["image"]
    sounds = replace(images, images=np.asarray(images.images)[..., 0], manifest=images.manifest | {"kind": "heard"})
    assert sounds.input_shape == (8, 8, 1)
    assert sounds.kind.normalisation(sounds.images, np.arange(100))[0].shape == (8,)
    card = describe(sounds, config, 0).card.read_text()
    assert "1,797 recordings in 10 classes, 8 samples of 8 microphones." in card
    assert "<p>loud and quiet</p>" in card
    assert "no recording lies in two splits" in card


def test_a_key_of_another_kind_is_refused(heard):
    with pytest.raises(InputError, match=r"data\.resize=pad: is of images, and data\.source=digits gives recordings\."):
        Data(resize="pad")


def test_what_would_change_its_meaning_is_refused(heard):
    from pipeline.augmentation import Augmentation

    said = r"augmentation\.transforms=rotate: data\.source=digits gives recordings; what can be done to them: cutout\."
    with pytest.raises(InputError, match=said):
        Config(augmentation=Augmentation(transforms=["cutout", "rotate"]))
    with pytest.raises(InputError, match=r"augmentation\.transforms=GaussNoise: albumentations is for images"):
        Config(augmentation=Augmentation(transforms=[{"GaussNoise": {}}]))


@pytest.mark.parametrize("name", ["invariance", "localization"])
def test_what_is_measured_on_pictures_is_refused(heard, name):
    from pipeline.config.experiment import Experiment

    with pytest.raises(InputError, match=rf"experiment\.{name}=true: is measured on images"):
        Config(experiment=Experiment(**{name: True}))
