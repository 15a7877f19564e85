"""Why a finished run answers as it does: the part of its page that looks inside the network."""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipeline import config, data, rundir
from pipeline.evaluation.diagnose import Diagnosis
from pipeline.evaluation.invariance import evenly
from pipeline.evaluation.predict import load, placed
from pipeline.evidence import html
from pipeline.insight import figures, localization
from pipeline.terminal import literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 5  # mistakes whose maps are drawn
MOST = 2000  # test images that filters are shown
CSS = ".inside img { width: 100%; min-width: 640px; max-width: 920px; display: block; }"


def sections(run: Path, found: Diagnosis, prepared: data.Prepared) -> list[str]:
    """HTML of a run on its set: maps of the surest mistakes, how well maps find boxes, and what filters answer to."""
    record, settings = rundir.read_run(run), config.of_run(run)
    splits = data.split(prepared, settings.data, settings.seed)
    module = placed(load(run), settings)
    names = [literal(name) for name in record.dataset.classes]
    # A network without a mistake is looked into all the same.
    rows = np.array([one.index for one in found.mistakes[:SHOWN]] or evenly(splits["test"], SHOWN))
    images = np.ascontiguousarray(prepared.images[rows])
    x_BCHW = torch.from_numpy(images).permute(0, 3, 1, 2).to(module.device)
    truth_B = torch.from_numpy(np.asarray(prepared.labels[rows], dtype=np.int64)).to(module.device)
    drawn, said = figures.maps(module, x_BCHW, truth_B, names, [names[int(k)] for k in truth_B])
    parts = [
        "<h2>Why it answers so</h2>",
        "<p>Red speaks for the class, blue against it. <i>Map</i>: what each place adds to it (Zhou et al. 2016). "
        "<i>Grad-CAM</i>: where the last map's filters that raise it are active (Selvaraju et al. 2017). "
        "<i>Covering</i>: how much less sure the network is where a square is covered.</p>",
        _shown(drawn, "maps of " + ("mistakes" if found.mistakes else "test examples")),
        *(f'<p class="facts">{html.prose(one)}</p>' for one in said),
    ]
    if prepared.boxes is not None and not settings.data.messy:  # which moves what they are about
        parts += _found(
            localization.measure(
                module, prepared.images, prepared.labels, prepared.boxes, splits["val"], splits["test"]
            )
        )
    if (filters := figures.first_filters(module)) is not None:
        parts += ["<h3>What the first filters weigh</h3>", _shown(filters, "the first filters")]
    if exciting := figures.exciting(module, np.asarray(prepared.images[np.sort(evenly(splits["test"], MOST))])):
        parts += ["<h3>What excites the last ones most</h3>", f'<p class="facts">{html.prose(exciting[1])}</p>']
        parts.append(_shown(exciting[0], "the test images that excite some filters most, and where"))
    if (layers := figures.layers(module, x_BCHW[0])) is not None:
        parts += ["<h3>The first of these images, layer by layer</h3>", _shown(layers, "maps of an image by layer")]
    return parts


def _found(measured: dict[str, localization.Found]) -> Sequence[str]:
    """The table of the maps next to what needs no network, and what it says."""
    if not measured:
        return ()
    rows = [
        ("", [escape(name), f"{one.pointing:.3f}", f"{one.box:.3f}", f"{one.best_box:.3f}", f"{one.pixels:.3f}"])
        for name, one in measured.items()
    ]
    network = measured["network"]
    better = [name for name, one in measured.items() if name != "network" and one.pointing >= network.pointing]
    said = f"{network.images:,} test images with a box. "
    said += (
        f"At pointing it is no better than {' and '.join(better)}." if better else "It points better than all of these."
    )
    head = ["maps of the true class by", "pointing game", "box, IoU from 0.5", "with the best threshold", "PxAP"]
    return (
        "<h3>Do the maps find what the boxes show?</h3>",
        html.table(head, rows, 1),
        f'<p class="facts">{html.prose(said)} The threshold of a box is chosen on validation '
        f"({network.threshold:g} of a map's range); the best one for the test split is what nobody knows beforehand "
        "(Choe et al. 2020).</p>",
    )


def _shown(figure: "Figure", name: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return f'<div class="scroll inside"><img alt="{escape(name)}" src="data:image/png;base64,{encoded}"></div>'
