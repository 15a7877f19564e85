"""The table of kinds of input: what is asked of examples as they are prepared, whatever they are.

Images are the only kind so far. Another one, say sound, is a module like images.py and an entry here. Still written for
images alone: the way from raw files to an array (writing.py, pixels.py, resize.py), from there to a batch (loader.py),
what is done at random (augmentation/), and what invariance is measured against (evaluation/).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.data import images
from pipeline.data.sheet import contact_sheet, shape_in_words


@dataclass(frozen=True)
class Kind:
    """One kind of input. Functions take the prepared array, whose first axis is examples."""

    input_shape: Callable[[np.ndarray], tuple[int, int, int]]  # (channels, ...) of one, as a network takes it
    normalisation: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]  # mean and std over some
    contact_sheet: Callable[[np.ndarray, np.ndarray, int], np.ndarray]  # with labels, classes: a picture for the card
    shape_in_words: Callable[[tuple[int, int, int]], str]  # of an input shape, for the card


KINDS = {"image": Kind(images.input_shape, images.normalisation, contact_sheet, shape_in_words)}
