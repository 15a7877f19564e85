"""Whether images that one set tests on are among those that another was trained on."""

import numpy as np

from pipeline.data.prepared import Prepared


def overlap(mine: Prepared, tested: np.ndarray, theirs: Prepared, trained: np.ndarray) -> int | None:
    """How many of my examples `tested` show an image of their examples `trained`; None where that cannot be told.

    Of images cut alike the pixels are compared, as they were before they were made messy. Of others (of another size,
    say) the places: the same set has the same name, and the same labels in the same order. What has another name as
    well is taken for another set.
    """
    cut = [(*one.images.shape[1:], one.manifest["resize"]) for one in (mine, theirs)]
    if cut[0] == cut[1]:
        assert mine.hashes is not None
        assert theirs.hashes is not None
        return int(np.isin(mine.hashes[tested], theirs.hashes[trained]).sum())
    if mine.manifest["name"] != theirs.manifest["name"]:
        return 0
    if len(mine.labels) == len(theirs.labels):
        either = (mine.labels < 0) | (theirs.labels < 0)  # of the other half of the classes
        if either.any() or (mine.labels == theirs.labels).all():
            return int(np.isin(tested, trained).sum())
    return None
