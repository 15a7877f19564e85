"""The `augmentation` section of the configuration."""

from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import InputError, one_of, within

# What each word does at strength 1; docs and conf/augmentation/ say the same. Which are for what: data.kinds.
WORDS = {
    "rotate": "turned by up to 30 degrees either way",
    "scale": "sized by 0.8 to 1.25, as often down as up",
    "translate": "moved by up to 20 % of its side, along each axis",
    "flip": "mirrored left to right, every second time",
    "colour": "brightness and contrast times 0.8 to 1.2, of colours saturation times 0.6 to 1.4",
    "cutout": "a black square over half of each side, anywhere inside",
    "word_dropout": "each token of a text becomes an unknown one with a chance of 0.1",
    "swap": "each token of a text changes places with the next one with a chance of 0.1",
    "stretch": "slower or faster, by 0.8 to 1.25",
    "time_shift": "earlier or later by up to 20 % of its length",
    "frequency_shift": "higher or lower by up to 10 % of its bands",
    "gain": "louder or softer by up to 6 dB",
    "noise": "noise that is 10 to 40 dB softer, every second time",
    "time_mask": "up to 20 % of its moments masked",
    "frequency_mask": "up to 20 % of its bands masked",
}
BORDERS = ("constant", "reflect")


@dataclass
class Augmentation:
    """What is drawn anew for each training image in each epoch. Validation and test never see it.

    `transforms` names WORDS of ours, all scaled by `strength`, or spells one of albumentations' own transforms
    with its arguments: {GaussNoise: {std_range: [0.1, 0.2]}}. Geometry comes first, in one interpolation; then
    colour, then cutout, then what is spelled out, in its order.
    """

    transforms: list[Any] = field(default_factory=list)  # what each image goes through
    strength: float = 1.0  # how far ours go: 0 not at all, 1 as the file of each says, 2 twice as far
    # Black is the default since it is the background of digits and clothes, and since a mirrored stroke would be a
    # stroke more.
    border: str = "constant"  # what comes in from outside: black, or the image mirrored at its edge (reflect)

    def __post_init__(self) -> None:
        within("augmentation.strength", self.strength, 0, 4)
        one_of("augmentation.border", self.border, BORDERS)
        for one in self.transforms:
            if isinstance(one, str):
                one_of("augmentation.transforms", one, WORDS)
            elif not isinstance(one, dict) or len(one) != 1:
                raise InputError(
                    f"augmentation.transforms={one}: must be one of {', '.join(WORDS)}, or one transform of "
                    "albumentations with its arguments, as in {GaussNoise: {std_range: [0.1, 0.2]}}."
                )
        if self.spelled:
            from pipeline.augmentation.albumentations import compose  # which takes seconds to import

            compose(self.spelled)

    @property
    def words(self) -> list[str]:
        """Those of `transforms` that `strength` scales."""
        return [one for one in self.transforms if isinstance(one, str)]

    @property
    def spelled(self) -> list[dict[str, Any]]:
        """Those of `transforms` that are albumentations' own."""
        return [one for one in self.transforms if not isinstance(one, str)]
