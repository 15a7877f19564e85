"""The words of a configuration, done to a batch of uint8 images.

albumentations' own calls cost 30 times the pixels' work on a 32x32 image: checks, dictionaries, a generator.
Here the numbers of a whole batch are drawn at once, all geometry of an image is one matrix, and only the
resampling (OpenCV, as in albumentations) is a call per image.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.augmentation import sounds, texts
from pipeline.augmentation.config import Augmentation
from pipeline.augmentation.draws import Where, bits, uniform

ROTATE, SCALE, TRANSLATE, COLOUR, SATURATION, CUTOUT = 30.0, 1.25, 0.2, 0.2, 0.4, 0.5  # at strength 1
GEOMETRY = ("rotate", "scale", "translate", "flip")
GREY = np.array([0.299, 0.587, 0.114], np.float32)  # data.images.LUMINANCE, and a test holds it to that

CHANGES: dict[str, Callable[[np.ndarray, float, Where], np.ndarray]] = {
    "word_dropout": texts.word_dropout,
    "swap": texts.swap,
    "stretch": sounds.stretch,
    "time_shift": sounds.time_shift,
    "frequency_shift": sounds.frequency_shift,
    "gain": sounds.gain,
    "noise": sounds.noise,
    "time_mask": sounds.time_mask,
    "frequency_mask": sounds.frequency_mask,
}
"""Words for what is no image, in their order: examples [B, H, W, C], strength, where -> the same, changed."""


def build(config: Augmentation, seed: int) -> "Augment | None":
    """The augmentation of a run; None where it would change nothing."""
    return Augment(config, seed) if config.spelled or (config.words and config.strength > 0) else None


class Augment:
    """Changes examples as configured. Calls are independent of each other: (seed, epoch, index) decides."""

    def __init__(self, config: Augmentation, seed: int) -> None:
        self.config, self.seed = config, seed
        self.words = set(config.words) if config.strength > 0 else set()
        self._spelled: Any = None  # made at first use: in the worker, not sent to it

    def __call__(self, x_BHWC: np.ndarray, epoch: int, indices: np.ndarray) -> np.ndarray:
        """The images of `indices` as `epoch` shows them; uint8 [B, H, W, C] like those given."""
        where = (self.seed, epoch, indices)
        if self.words.intersection(GEOMETRY):
            x_BHWC = self._warp(x_BHWC, self.matrices(x_BHWC.shape[1:3], epoch, indices))
        if "colour" in self.words:
            x_BHWC = self._colour(x_BHWC, where)
        if "cutout" in self.words:
            x_BHWC = self._cutout(x_BHWC, where)
        for word, change in CHANGES.items():
            if word in self.words:
                x_BHWC = change(x_BHWC, self.config.strength, where)
        if self.config.spelled:
            from pipeline.augmentation.albumentations import Spelled

            self._spelled = self._spelled or Spelled(self.config.spelled)
            x_BHWC = self._spelled(x_BHWC, bits(*where, "spelled") >> np.uint64(32))
        return x_BHWC

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_spelled": None}

    def matrices(self, shape: tuple[int, ...], epoch: int, indices: np.ndarray) -> np.ndarray:
        """[B, 2, 3]: where each pixel (x, y) of an original goes. Mirrored, sized and turned about the image's
        centre, then moved."""
        height, width = shape
        strength, where = self.config.strength, (self.seed, epoch, indices)

        def symmetric(word: str, stream: str) -> np.ndarray:
            return strength * (2 * uniform(*where, stream) - 1) if word in self.words else np.zeros(len(indices))

        angle = np.deg2rad(ROTATE * symmetric("rotate", "rotate"))
        size = SCALE ** symmetric("scale", "scale")
        mirror = np.ones(len(indices))
        if "flip" in self.words:
            mirror[uniform(*where, "flip") < min(0.5, 0.5 * strength)] = -1
        cos, sin = size * np.cos(angle), size * np.sin(angle)
        m_B23 = np.empty((len(indices), 2, 3))
        # The y axis points down: counterclockwise to the eye, as in OpenCV and in the invariance curves.
        m_B23[:, 0, 0], m_B23[:, 0, 1] = cos * mirror, sin
        m_B23[:, 1, 0], m_B23[:, 1, 1] = -sin * mirror, cos
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        moved_B2 = TRANSLATE * np.stack(
            [width * symmetric("translate", "translate_x"), height * symmetric("translate", "translate_y")], axis=1
        )
        m_B23[:, :, 2] = centre + moved_B2 - m_B23[:, :, :2] @ centre
        return m_B23

    def _warp(self, x_BHWC: np.ndarray, m_B23: np.ndarray) -> np.ndarray:
        import cv2

        cv2.setNumThreads(0)  # its threads hang after a fork, and the cores are taken already
        _, height, width, _ = x_BHWC.shape
        border = {"constant": cv2.BORDER_CONSTANT, "reflect": cv2.BORDER_REFLECT_101}[self.config.border]
        out_BHWC = np.empty(x_BHWC.shape, np.uint8)
        warp, size, linear = cv2.warpAffine, (width, height), cv2.INTER_LINEAR
        for x, m, out in zip(np.ascontiguousarray(x_BHWC), m_B23, out_BHWC, strict=True):
            warp(x, m, size, out, linear, border)
        return out_BHWC

    def _colour(self, x_BHWC: np.ndarray, where: tuple[int, int, np.ndarray]) -> np.ndarray:
        """As ColorJitter, in a fixed order and rounded once; hue, which classes may hang on, stays."""

        def factor(stream: str, most: float) -> np.ndarray:
            drawn = 1 + most * self.config.strength * (2 * uniform(*where, stream) - 1)
            return drawn.clip(min=0).astype(np.float32).reshape(-1, 1, 1, 1)

        x = x_BHWC * factor("brightness", COLOUR)
        np.minimum(x, 255, out=x)
        grey = x @ GREY[:, None] if x.shape[3] == 3 else x
        mean = grey.mean(axis=(1, 2, 3), keepdims=True)
        contrast = factor("contrast", COLOUR)
        x = (mean + contrast * (x - mean)).clip(0, 255)
        if x.shape[3] == 3:
            grey = x @ GREY[:, None]
            x = (grey + factor("saturation", SATURATION) * (x - grey)).clip(0, 255)
        return np.rint(x).astype(np.uint8)

    def _cutout(self, x_BHWC: np.ndarray, where: tuple[int, int, np.ndarray]) -> np.ndarray:
        _, height, width, _ = x_BHWC.shape
        share = min(1.0, CUTOUT * self.config.strength)
        h, w = round(share * height), round(share * width)
        tops = (uniform(*where, "cutout_y") * (height - h + 1)).astype(int).tolist()
        lefts = (uniform(*where, "cutout_x") * (width - w + 1)).astype(int).tolist()
        out = x_BHWC.copy()
        for image, top, left in zip(out, tops, lefts, strict=True):
            image[top : top + h, left : left + w] = 0
        return out
