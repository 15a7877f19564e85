"""Sources that are trained for the runs that start from them: once each, before the first of these.

A run says what its source is to be trained on: `transfer.pretrain`, a data section of its own, or with
`transfer=first_layers` one half of its own classes. All else of the source is the run's: architecture, augmentation,
optimizer, trainer and seed. It is a run like any other, tracked, resumed after a kill, and found again by its key in
<runs_dir>/<experiment>/sources/<the first 16 digits of the key>.
"""

import functools
import json
from dataclasses import replace
from pathlib import Path

from pipeline import config, data, rundir, transfer
from pipeline import key as keys
from pipeline.config import Config
from pipeline.errors import InputError
from pipeline.key import Key
from pipeline.transfer import Source, Transfer, of_run
from pipeline.transfer.source import concrete


def wanted(settings: Config) -> Config | None:
    """The run that is the source of `settings`; None where it has none, or one that was trained elsewhere."""
    asked = settings.transfer
    if asked.network is not None:
        images = replace(settings.data, class_half=asked.network[0].lower())
    elif asked.pretrain is not None:
        images = asked.pretrain
    else:
        return None
    shape, classes = known(images, settings.seed)
    return replace(
        settings,
        data=images,
        # What was scaled to a reference is scaled on the source's data; the run has the same widths.
        architecture=concrete(settings.architecture, shape, classes),
        transfer=Transfer(),
        experiment=replace(settings.experiment, invariance=False),
        dir=None,
    )


def known(images: data.Data, seed: int) -> tuple[tuple[int, int, int], int]:
    """((C, H, W), classes). Data is read only where that is not known before."""
    if found := data.declared(images):
        return found
    prepared = data.prepare(images, seed)
    return prepared.input_shape, len(prepared.classes)


def key(source: Config) -> Key:
    """What identifies the run. Prepares its data if need be."""
    return _key(json.dumps(config.to_dict(source), sort_keys=True))


@functools.cache  # of the many jobs of a sweep, few have another source
def _key(values: str) -> Key:
    source = config.from_dict(json.loads(values))
    prepared = data.prepare(source.data, source.seed)
    made = transfer.outline(source.architecture, source.transfer, prepared.input_shape, len(prepared.classes), None)
    asked = replace(config.settled(source, made.plan.macs), architecture=made.section)
    return keys.of(asked, prepared.digest, rundir.digest(keys.code()), [])


def place(source: Config) -> Path:
    """The run's directory; with accept=code, one that other code trained, where our own has not."""
    wanted = key(source)
    folder = Path(source.runs_dir) / source.experiment.name / "sources"
    own = folder / wanted.digest[:16]
    if source.accept and rundir.get_status(own)["status"] != "finished":
        for file in sorted(folder.glob("*/run.json")):
            finished = rundir.get_status(file.parent)["status"] == "finished"
            if finished and keys.same(rundir.read_run(file.parent), wanted, source.accept):
                return file.parent
    return own


def is_trained(source: Config) -> bool:
    """Whether the run is there whole."""
    return rundir.get_status(place(source))["status"] == "finished"


def label(source: Config) -> str:
    """The run in a word, for progress lines."""
    half = f"/{source.data.class_half}" if source.data.class_half else ""
    return f"source {source.data.name}{half},seed={source.seed}"


def network(source: Config) -> Source:
    """The network of the run as it will be: no data is read where its shape is known without."""
    shape, classes = known(source.data, source.seed)
    return Source(f"pretrain on {source.data.name}", source.architecture, shape[0], size=shape[1:], classes=classes)


def trained(source: Config) -> Source:
    """The network of the run as it was trained. Raises InputError where it was not."""
    path = place(source)
    if "error" in (status := rundir.get_status(path)):
        raise InputError(f"{label(source)}: {status['status']}: {status['error']} (see {path}).")
    return replace(of_run(path, f"pretrain on {source.data.name}"), key=key(source).digest)
