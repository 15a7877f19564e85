"""Made-up remarks on made-up evenings, liked or not: no one wrote them, and no one's opinion is in them.

One adjective says how something was; `not` and `hardly` before it turn it round, `very` and `so` do not. Of two remarks
the one behind `but` counts, and of one with `although` the other one. So the same words in another order mean the
opposite, and neither a bag of words nor a single word tells the class. Drawn by numpy's PCG64, whose stream is fixed.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.data.config import Data
from pipeline.data.raw import Photo, Raw, Refused
from pipeline.data.roots import no_files
from pipeline.data.texts import Numbers, example

KNOWN = {"sentences": (1, 2)}
COUNT = 2000
SEED = 16

GOOD = [
    "good", "great", "fine", "lovely", "warm", "clever", "bright", "fresh", "kind",
    "funny", "smooth", "tender", "gentle", "sharp", "rich", "calm",
]  # fmt: skip
BAD = [
    "bad", "dull", "cold", "stale", "rude", "slow", "bland", "harsh", "noisy",
    "clumsy", "bitter", "gloomy", "shallow", "heavy", "tired", "flat",
]  # fmt: skip
THINGS = [
    "food", "music", "play", "waiter", "soup", "room", "story", "end", "wine",
    "light", "crowd", "singer", "song", "table", "view", "bread",
]  # fmt: skip
WAS = ["was", "seemed", "felt", "looked"]
PLAIN = ["", "", "", "very", "so", "quite"]
TURNED = ["not", "hardly", "never"]
OPENING = ["", "", "well ,", "to be honest ,", "as it were ,", "on friday"]
ENDING = ["", "", "that evening", ", they say", "as usual", "this time"]
find = no_files


def read(config: Data, files: list[Path]) -> Raw:
    """All sentences, as many liked as not."""
    numbers = Numbers()
    return Raw(
        blocks=_blocks(config, numbers),
        channels=1,
        labels=np.arange(COUNT, dtype=np.int64) % 2,
        classes=["disliked", "liked"],
        words=numbers.words,
    )


def _blocks(config: Data, numbers: Numbers) -> Iterator[Photo | Refused]:
    for text in sentences():
        yield example(text, config, numbers)


def sentences() -> Iterator[str]:
    """The texts in order, disliked and liked in turn; no two are the same."""
    draw = Draw()
    seen = set()
    for i in range(COUNT):
        while (text := _sentence(draw, liked=bool(i % 2))) in seen:
            pass
        seen.add(text)
        yield text


class Draw:
    """Choices from a stream of random bits that is the same in all versions of numpy."""

    def __init__(self) -> None:
        self.bits = np.random.PCG64(SEED)

    def __call__(self, among: list[str]) -> str:
        return among[int(self.bits.random_raw() % len(among))]


def _sentence(draw: Draw, liked: bool) -> str:
    other = bool(draw.bits.random_raw() % 2)
    said = {
        "one": lambda: _remark(draw, liked),
        "but": lambda: f"{_remark(draw, other)} but {_remark(draw, liked)}",
        "although": lambda: f"although {_remark(draw, other)} , {_remark(draw, liked)}",
        "behind": lambda: f"{_remark(draw, liked)} although {_remark(draw, other)}",
    }[draw(["one", "but", "although", "behind"])]()
    return " ".join(f"{draw(OPENING)} {said} {draw(ENDING)} .".split())


def _remark(draw: Draw, liked: bool) -> str:
    turned = bool(draw.bits.random_raw() % 2)
    adjective = draw(GOOD if liked != turned else BAD)
    return f"the {draw(THINGS)} {draw(WAS)} {draw(TURNED) if turned else draw(PLAIN)} {adjective}"
