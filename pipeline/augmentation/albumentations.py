"""The one place that knows albumentations: pinned at 2.0.8, its last release.

What a user spells out runs here, image by image: 100 to 300 us each for 32x32. The words of ours mean what its
Affine, HorizontalFlip, ColorJitter and CoarseDropout mean, but are drawn and applied by the batch in `apply.py`,
at a tenth of that; tests hold the two to each other.
"""

import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import InputError, nearest

if TYPE_CHECKING:
    import albumentations


def library() -> Any:
    """albumentations, without the question to the network that its import asks by default."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations
    import cv2

    cv2.setNumThreads(0)  # its threads hang after a fork, and the cores are taken already
    return albumentations


def compose(spelled: list[dict[str, Any]]) -> "albumentations.Compose":
    """The transforms of a configuration, in their order. Raises InputError where one cannot be.

    Only transforms of images alone or of images with their geometry are taken, each by its class's name.
    """
    A = library()
    kinds = {
        name: kind
        for name, kind in vars(A).items()
        if isinstance(kind, type) and issubclass(kind, A.ImageOnlyTransform | A.DualTransform) and name[0].isupper()
    }
    transforms = []
    for one in spelled:
        ((name, arguments),) = one.items()
        option = f"augmentation.transforms={{{name}: {arguments}}}"
        if name not in kinds:
            raise InputError(f"{option}: albumentations has no such transform.{nearest(name, kinds)}")
        if not isinstance(arguments or {}, dict):
            raise InputError(f"{option}: must be arguments by name, as in {{p: 0.5}}.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # a misspelt argument only warns otherwise, and is then ignored
                transforms.append(kinds[name](**_tuples(arguments or {})))
        except Exception as error:
            raise InputError(f"{option}: {' '.join(str(error).split())[:300]}") from None
    return A.Compose(transforms)


def _tuples(value: Any) -> Any:
    """Lists as the tuples that albumentations' types ask for."""
    if isinstance(value, dict):
        return {key: _tuples(one) for key, one in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


class Spelled:
    """Applies what a configuration spells out, with the random numbers that it is given."""

    def __init__(self, spelled: list[dict[str, Any]]) -> None:
        self.compose = compose(spelled)

    def __call__(self, x_BHWC: np.ndarray, seeds_B: np.ndarray) -> np.ndarray:
        """uint8 [B, H, W, C] with one seed for each image."""
        out = np.empty_like(x_BHWC)
        for i, seed in enumerate(seeds_B.tolist()):
            self.compose.set_random_seed(seed)
            image = self.compose(image=x_BHWC[i])["image"]
            if image.shape != x_BHWC[i].shape or image.dtype != np.uint8:
                raise InputError(
                    f"augmentation.transforms: made {image.dtype} {list(image.shape)} of uint8 "
                    f"{list(x_BHWC[i].shape)}; an augmentation keeps shape and type."
                )
            out[i] = image
        return out
