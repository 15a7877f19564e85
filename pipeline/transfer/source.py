"""Where a trained network comes from: a run of this pipeline, or timm. No torch until weights are read."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline import architecture, rundir
from pipeline.architecture import Plan, Section, Timm
from pipeline.architecture.config import Cnn, Mlp, TextCnn
from pipeline.errors import InputError
from pipeline.transfer.cutting import cut


@dataclass(frozen=True)
class Source:
    """A network that was trained, or can be got trained.

    `channels`, `size` and `classes` are those it was made for; None for timm's published weights, of which only the
    channels are known before the file is read. `depth` is how many stages early_layers had kept of it, and `head` what
    it had put behind them.
    """

    named: str  # as the user did
    section: Section
    channels: int
    file: Path | None = None  # its weights; None: to be fetched from timm's hub
    size: tuple[int, int] | None = None
    classes: int | None = None
    depth: int | None = None
    head: str = "gap"
    key: str | None = None  # of the run, where it is trained for the one that starts from it
    run_key: str | None = None  # of any run, whose checkpoint names it

    @property
    def is_run(self) -> bool:
        """Whether this pipeline trained it."""
        return self.classes is not None

    def plan(self) -> Plan:
        """The network as it was trained. Only of a run."""
        assert self.size is not None
        assert self.classes is not None
        return planned(self.section, (self.channels, *self.size), self.classes, self.depth, self.head)


def of_run(run: Path, named: str, weights: bool = True, fetched: bool = False) -> Source:
    """The network of a run directory; `fetched` has no status.json: MLflow says that it has finished.

    Raises InputError where it is none; with `weights`, where it has no checkpoint or has not finished.
    """
    record = rundir.read_run(run)
    file = run / "checkpoints" / "best.ckpt"
    if weights and not file.exists():
        status = rundir.get_status(run).status
        raise InputError(f"transfer.source={named}: holds no checkpoints/best.ckpt (its status is {status}).")
    if weights and not fetched and (status := rundir.get_status(run).status) != "finished":
        raise InputError(f"transfer.source={named}: its status is {status}; what a run starts from has finished.")
    try:
        if weights:
            rundir.check_sealed(run, "checkpoints/best.ckpt")
    except rundir.DamagedError as error:
        raise InputError(f"transfer.source={named}: {error}") from None
    try:
        shape, classes = record.dataset.input_shape, len(record.dataset.classes)
        section = concrete(architecture.section(record.config["architecture"]), shape, classes)
    except (KeyError, TypeError, InputError) as error:
        raise InputError(f"transfer.source={named}: was written by another version of the code ({error}).") from None
    network = record.transfer.get("network", {})
    return Source(
        named=named,
        section=section,
        channels=network.get("channels", shape[0]),
        file=file.resolve(),
        run_key=record.key,
        size=(shape[1], shape[2]),
        classes=classes,
        depth=network.get("depth"),
        head=network.get("head", "gap"),
    )


def of_timm(section: Section, weights: str | None) -> Source:
    """timm's model that the architecture section names, with the weights of a file or the published ones."""
    if not isinstance(section, Timm):
        raise InputError(
            "transfer.source=timm: needs the model's name: architecture=timm architecture.name=NAME, "
            f"and architecture.type is {section.type}."
        )
    file = Path(weights).expanduser() if weights else None
    if file is not None and not file.is_file():
        raise InputError(f"transfer.weights={weights}: no such file.")
    from pipeline.transfer.published import channels  # timm takes seconds to import

    return Source("timm", section, channels(section), file.resolve() if file else None)


def concrete(section: Section, shape: tuple[int, ...], classes: int) -> Section:
    """The section of the same network for other data.

    Widths that were matched to a reference become plain widths, since on other data they would be matched anew; a
    list's class layer gets as many units as there are classes.
    """
    if isinstance(section, Timm | TextCnn):
        return section
    if section.match != "none":
        match = architecture.plan(section, shape, classes).match
        assert match is not None
        changes: dict[str, Any] = {"hidden" if isinstance(section, Mlp) else "filters": list(match.widths)}
        return replace(section, match="none", match_reference=None, **changes)
    if isinstance(section, Cnn) and section.layers is not None:
        *before, last = section.layers
        return replace(section, layers=[*before, {"dense": {}} if "dense" in last else last])
    return section


def same(section: Section, source: Source) -> bool:
    """Whether the architecture section is the source's, or the one that stands there unless it is changed."""
    if section in (Cnn(), source.section):
        return True
    assert source.size is not None
    assert source.classes is not None
    return concrete(section, (source.channels, *source.size), source.classes) == source.section


def planned(
    section: Section, shape: tuple[int, int, int], classes: int, depth: int | None = None, head: str = "gap"
) -> Plan:
    """The plan of a network; with `depth`, of its first stages and a new head, as early_layers cuts it."""
    whole = architecture.plan(section, shape, classes)
    if depth is None:
        return whole
    if isinstance(section, Timm):
        from pipeline.architecture.backbone import channels_last  # timm takes seconds to import

        return cut(whole, depth, classes, head, "trunk.", channels_last(section, shape))
    return cut(whole, depth, classes, head)
