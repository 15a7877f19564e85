"""Random changes of training images that leave their class as it is.

    augment = build(config, seed)                      # None where nothing is to be changed
    x_BHWC = augment(x_BHWC, epoch, indices)           # uint8 in, uint8 out, a batch at a time

What happens to an image is fixed by (seed, epoch, index) alone: not by the process that does it, nor by the
images beside it in the batch. Importing this package imports numpy, and neither OpenCV nor albumentations.
"""

from pipeline.augmentation.apply import Augment, build
from pipeline.augmentation.config import WORDS, Augmentation

__all__ = ["WORDS", "Augment", "Augmentation", "build"]
