"""Which strategy a data set asks for: its quadrant, measured on the training split through the source's eyes.

SIZE is what the network would be trained on, against what it takes (NEEDED_*). SIMILARITY has two sides, as the bound
of Ben-David et al. (2007) has: how far the target's images lie from the source's, and how well the source's features
serve the target's classes.

- `avoided`: of the errors that a linear probe makes on this network with random weights (at its best stage), the
  share that a probe on the source's last stage does not make (probes by depth: Alain & Bengio 2016). Random weights
  are the yardstick because convolutions and pooling alone tell much apart: digits are told apart to 0.98 by a network
  that learnt nothing, which says nothing of a source that reaches 0.98 as well.
- `distance`: batch norms keep the mean and deviation of each map over the source's images, which is what a network
  knows of its domain (Li et al. 2016, AdaBN). Squared distance of the target's mean and deviation to them, in units
  of the source's variance; the median over maps, the mean over layers. 0: the same; 1: off by a deviation.

Similar is a target where more errors are avoided than there is distance, or as good as no distance. LEEP (Nguyen et
al. 2020) would need the source's classifier, which published weights often lack, and a domain classifier the source's
images; LogME (You et al. 2021) ranks sources for one target, and its value has no zero that means the same on another
target.
"""

import math
from dataclasses import replace

import numpy as np
import torch

from pipeline.architecture import Section, Timm
from pipeline.data import Prepared
from pipeline.errors import InputError
from pipeline.transfer import network as networks
from pipeline.transfer import probe
from pipeline.transfer.build import construct
from pipeline.transfer.config import Transfer
from pipeline.transfer.outline import Outline, outline
from pipeline.transfer.record import Advice, Similarity, Size
from pipeline.transfer.source import Source
from pipeline.transfer.strategies import QUADRANTS, STRATEGIES

NEEDED = 1000
NEEDED_PER_CLASS = 100
"""Fewer training images are small, unless there are fewer parameters than that to train. What pretrained features are
worth fades between some hundred and some thousand images (Kornblith et al. 2019, on dataset size); where in between is
a convention, not a measurement: docs/lab-notes.md has what it cost."""

AVOIDED = 0.25
"""Where a network has no batch norm, and so no distance, similar is what avoids more than this share of errors. On the
pairs that this was tuned on (docs/lab-notes.md), similar ones avoided 0.35 to 0.53, dissimilar ones at most 0.17."""

SAME = 0.02
"""Images no farther than this are the source's own kind, and similar whatever a probe says: a narrow last stage can
show a probe less than random filters do. Fresh images of a source's own set measured 0.00 and 0.01, ImageNet's against
hymenoptera, which was drawn from it, 0.02; the nearest of another set, 0.04."""

SAMPLE = 1000
SAMPLE_MACS = 5e10
"""Images looked at: at most so many, and so many multiply-accumulates by each of the two networks (2 s of a core); but
SAMPLE_LEAST of them, and two of each class."""
SAMPLE_LEAST = 100


def advised(
    section: Section, transfer: Transfer, prepared: Prepared, train: np.ndarray, seed: int, source: Source
) -> Outline:
    """The outline of the strategy that the training split `train` (indices) asks for, with the advice in it.

    Same split, source and seed, same advice: it is computed once, before training, and stands in run.json. Nothing
    but the images and labels of `train` is read.

    Raises:
        InputError: as `outline` and the reading of the source's weights do.
    """
    shape, classes = prepared.input_shape, len(prepared.classes)
    first = outline(section, transfer, shape, classes, source)
    found = measured(first, source, prepared.images, prepared.labels, train, seed, transfer.head)
    advice = conclude(amount(prepared.labels[train], first.plan.params), found)
    chosen = outline(section, transfer.with_strategy(advice.strategy, advice.depth), shape, classes, source)
    return replace(chosen, advice=advice)


def amount(labels: np.ndarray, parameters: int) -> Size:
    """How much there is to train on, against what `parameters` take.

    Classes count with the middle one's number of examples, so that neither one rare class makes a set small nor one
    frequent class makes it large.
    """
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    middle = float(np.median(counts))
    enough = min(max(NEEDED, NEEDED_PER_CLASS * len(counts)), parameters)
    ratio = min(len(labels), middle * len(counts)) / enough
    return Size(
        examples=len(labels),
        classes=len(counts),
        per_class=middle,
        rarest_class=int(counts.min()),
        parameters=parameters,
        needed=enough,
        ratio=ratio,
    )


def sample(labels: np.ndarray, train: np.ndarray, macs: int, seed: int) -> np.ndarray:
    """Indices, ascending: of each class equally many as far as there are, drawn by the seed."""
    room = int(min(SAMPLE, max(SAMPLE_LEAST, SAMPLE_MACS // max(1, macs))))
    rng = np.random.default_rng([seed, 0x0ADF1CE])
    order = [rng.permutation(train[labels[train] == k]) for k in np.unique(labels[train])]
    each = max(2, room // len(order))
    return np.sort(np.concatenate([one[:each] for one in order]))


def measured(
    first: Outline, source: Source, images_NHWC: np.ndarray, labels: np.ndarray, train: np.ndarray, seed: int, head: str
) -> Similarity:
    """What probes and batch norms say of a sample of the training split. `first` loads the whole trunk.

    The probe at each depth sees of the maps what `head`, behind early layers, would see.
    """
    chosen = sample(labels, train, first.plan.macs, seed)
    x_NHWC, y_N = np.asarray(images_NHWC[chosen]), labels[chosen]
    classes = first.plan.output_shape[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random = construct(first.section, first.plan, classes)
        network = construct(first.section, first.plan, classes)
        record = first.record() | {"source": networks.read_source(first, source).to_json()}
        normalisation = networks.load(network, record)
    assert normalisation is not None
    ends = ends_of(first)
    if not ends.names:
        raise InputError(f"transfer.source={source.named}: has nothing before its class layer to look at.")
    for one in (network, random):
        one.eval().to(memory_format=torch.channels_last)
    far: list[float] = []
    with probe.distances(network, far):
        theirs = probe.features(network, ends, x_NHWC, *normalisation)
    probe.calibrate_norms(random, x_NHWC, *normalisation)
    plain = probe.features(random, ends, x_NHWC, *normalisation)
    if not all(np.isfinite(grid_ND).all() for _, grid_ND in theirs):
        raise InputError(f"transfer.source={source.named}: its weights make no finite numbers of the training images.")
    by_depth = [probe.probe(mean_ND if head == "gap" else grid_ND, y_N) for mean_ND, grid_ND in theirs]
    last = probe.probe(theirs[-1][1], y_N)
    at_random = max(probe.probe(grid_ND, y_N).accuracy for _, grid_ND in plain)
    n = len(chosen)
    wrong, wrong_at_random = round(n * (1 - last.accuracy)), round(n * (1 - at_random))
    return Similarity(
        sample=n,
        accuracy=last.accuracy,
        accuracy_at_random=at_random,
        # Half an error is added to both: none of none avoided is no gain.
        avoided=1 - (wrong + 0.5) / (wrong_at_random + 0.5),
        doubt=math.sqrt(wrong + wrong_at_random + 1) / (wrong_at_random + 0.5),
        distance=float(np.mean(far)) if far else None,
        by_depth=tuple(by_depth),
    )


def ends_of(outlined: Outline) -> probe.Ends:
    """Where the stages of a network end, the head's left out."""
    trunk = outlined.plan.layers[-1].stage
    if not isinstance(outlined.section, Timm):
        return probe.Ends([names[-1] for names in outlined.plan.stages[:trunk]])
    from pipeline.architecture.backbone import channels_last, stage_ends  # timm takes seconds to import

    prefix = "trunk." if outlined.depth is not None else ""
    shape = outlined.plan.input_shape
    return probe.Ends(
        [prefix + name for name in stage_ends(outlined.section, shape)[:trunk]], channels_last(outlined.section, shape)
    )


def limit_of(found: Similarity) -> float:
    """What share of errors must be avoided by a similar source."""
    return AVOIDED if found.distance is None else found.distance


def conclude(size: Size, found: Similarity) -> Advice:
    """The advice: quadrant, strategy, depth, reasons in sentences, the numbers, and how near to another it was."""
    limit = limit_of(found)
    same = found.distance is not None and found.distance <= SAME
    domain = "similar" if same or found.avoided > limit else "dissimilar"
    strategy = QUADRANTS[size.word, domain]
    # Explained variance, not accuracy: it moves with each example and not by whole ones.
    depth = 1 + int(np.argmax([one.explained for one in found.by_depth]))
    near = []
    if 0.5 < size.ratio < 2:
        near.append(f"size: {size.ratio:.2f} times what separates small from large")
    if not same and abs(found.avoided - limit) < found.doubt:
        near.append(f"similarity: {found.avoided:.2f} against {limit:.2f}, known to about {found.doubt:.2f}")
    return Advice(
        size=size,
        similarity=found,
        limit=limit,
        domain=domain,
        strategy=strategy,
        depth=depth if STRATEGIES[strategy].by_depth else None,
        reasons=tuple(_reasons(size, found, domain, strategy, depth)),
        near=tuple(near),
    )


def _reasons(size: Size, found: Similarity, domain: str, strategy: str, depth: int) -> list[str]:
    below = "fewer than" if size.word == "small" else "at least"
    said = [
        f"{size.word}: {size.examples:,} training images of {size.classes} classes ({size.per_class:,.0f} "
        f"in the middle class) for {size.parameters:,} parameters, {below} the {size.needed:,} that it takes",
        f"{domain}: of {found.sample} training images, a linear probe tells {found.accuracy:.3f} apart by the "
        f"source's last stage, and {found.accuracy_at_random:.3f} by random weights: "
        + (f"{found.avoided:.0%} of the errors are avoided" if found.avoided > 0 else "no error is avoided"),
    ]
    more = "more" if found.avoided > limit_of(found) else "no more"
    if found.distance is not None and found.distance <= SAME:
        said.append(
            f"{domain}: to the source's batch norms the images are of its own kind, {found.distance:.3f} of the "
            "variance that they know away"
        )
    elif found.distance is None:
        said.append(f"{domain}: that is {more} than {AVOIDED:.0%}; without batch norm there is no distance to judge by")
    else:
        said.append(
            f"{domain}: that is {more} than how far the images lie from the source's, {found.distance:.2f} of the "
            "variance that its batch norms know"
        )
    if STRATEGIES[strategy].by_depth:
        values = ", ".join(f"{one.accuracy:.2f}" for one in found.by_depth)
        said.append(
            f"depth {depth}: there a probe on what the new head will see explains most (accuracy by depth: {values})"
        )
    return said
