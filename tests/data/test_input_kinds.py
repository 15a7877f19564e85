"""A kind of input is an entry in one table."""

from dataclasses import replace

import numpy as np

from pipeline.data import Data, describe, prepare
from pipeline.data.kinds import KINDS, Kind


def test_an_entry_is_all_that_a_prepared_set_needs_to_be_described(tmp_path, monkeypatch):
    """Digits taken for sound: eight channels of eight samples."""
    heard = Kind(
        input_shape=lambda sounds: (sounds.shape[2], sounds.shape[1], 1),
        normalisation=lambda sounds, some: (sounds[some].mean((0, 1)), sounds[some].std((0, 1))),
        contact_sheet=lambda sounds, labels, classes: np.full((1, classes, 3), 7, np.uint8),
        shape_in_words=lambda shape: f"{shape[1]} samples of {shape[0]} microphones",
    )
    monkeypatch.setitem(KINDS, "sound", heard)
    config = Data(prepared_dir=str(tmp_path))
    images = prepare(config, 0)
    assert images.kind is KINDS["image"]
    sounds = replace(images, images=np.asarray(images.images)[..., 0], manifest=images.manifest | {"kind": "sound"})
    assert sounds.input_shape == (8, 8, 1)
    assert sounds.kind.normalisation(sounds.images, np.arange(100))[0].shape == (8,)
    assert "10 classes, 8 samples of 8 microphones" in describe(sounds, config, 0).card.read_text()
