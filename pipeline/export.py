"""A trained network for other programs, uint8 images in, probabilities out: an ONNX file, or a registered MLflow model.

python -m pipeline.export run=runs/train/... format=onnx out=digits.onnx
python -m pipeline.export sweep=latest register=digits alias=champion
"""

if __name__ == "__main__":
    from pipeline.beginning import begin

    begin()


import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from pipeline import cli, config, rundir, terminal
from pipeline.config.tracking import check_model_name
from pipeline.errors import InputError, one_of


@dataclass
class Export:
    """What `python -m pipeline.export` takes."""

    run: str | None = None  # a run directory; for a file also an MLflow run id, or models:/NAME@ALIAS
    sweep: str | None = None  # instead: the winner of this sweep; latest: the one begun last under runs_dir
    runs_dir: str = "runs"  # where the latest is looked for
    format: str | None = None  # onnx: a file for onnxruntime and others
    out: str = "model.onnx"  # that file
    register: str | None = None  # NAME: a new version of this registered model
    alias: str | None = None  # of the registered model: from now on this version is meant by it
    uri: str | None = None  # the MLflow to register on, or to look run up on; null: the one that shows the run
    output: str = "table"  # for people, or one document for programs

    def __post_init__(self) -> None:
        one_of("output", self.output, ("table", "json"))
        if self.format is not None:
            one_of("format", self.format, ("onnx",))
        if self.format is None and self.register is None:
            raise InputError("format=null: say format=onnx for a file, or register=NAME for an MLflow model.")
        if self.run is not None and self.sweep is not None:
            raise InputError(f"sweep={self.sweep}: either that or run={self.run}.")
        if self.register is None and self.alias is not None:
            raise InputError(f"alias={self.alias}: is of a registered model; say register=NAME.")
        check_model_name("register", self.register)


def job(cfg: DictConfig) -> int:
    """Find the network, write or register it, say where it is."""
    options = config.typed(cfg, Export)
    from pipeline.serving.registered import check_alias

    check_alias(options.alias)
    winner = None
    if options.sweep is not None:
        from pipeline.serving.winner import find_winner

        winner = find_winner(rundir.find_sweep(options.sweep, Path(options.runs_dir)))
        if not winner.shown:
            terminal.mind([f"{winner.arm} has the best mean, and is not shown to be better than all others"])
    named = str(winner.run) if winner else options.run
    document: dict[str, Any] = {"run": named}
    if winner:
        document |= {"arm": winner.arm, "verdict": winner.verdict, "interval": winner.interval}
    if options.format == "onnx":
        document |= {"file": options.out, "off_by": _write(options, named)}
    if options.register:
        document["model"] = _register(options, named, winner.tags if winner else {})
    cli.emit(options.output, document, lambda: show(document))
    return cli.DONE


def _write(options: Export, named: str | None) -> float:
    from pipeline.serving.exported import check_onnx, write_onnx
    from pipeline.serving.opened import opened

    out = Path(options.out).expanduser()
    if not out.absolute().parent.is_dir():
        raise InputError(f"out={options.out}: its folder does not exist.")
    check_onnx()
    with opened(named, options.uri) as network:
        return write_onnx(network, out)


def _register(options: Export, named: str | None, tags: dict[str, str]) -> dict[str, Any]:
    from pipeline.serving import registered
    from pipeline.tracking.state import tracking_of
    from pipeline.tracking.trust import check_trust

    if named is None:
        raise InputError("run=null: name a run directory, as in run=runs/train/..., or a sweep.")
    run = rundir.find_run(named)
    if options.uri is not None:
        from pipeline.serving.opened import tracking_at

        tracking = tracking_at(options.uri)
    else:
        tracking = tracking_of(run)
        if tracking.uri is None:
            raise InputError(f"run={named}: is shown on no MLflow; uri=sqlite:///... or http://... says on which.")
        check_trust(tracking)
    return registered.document(registered.register(run, tracking, options.register or "", options.alias, tags))


def show(document: dict[str, Any]) -> None:
    """Where it is, for people."""
    if "arm" in document:
        print(f"winner     {terminal.literal(document['arm'])}\n           {terminal.literal(document['verdict'])}")
    print(f"run        {terminal.literal(document['run'])}")
    if "file" in document:
        print(f"file       {terminal.literal(document['file'])} (off by {document['off_by']:.1e} at most)")
    if model := document.get("model"):
        print(f"model      {model['uri']} (version {model['version']})")
        where = f"MLFLOW_TRACKING_URI={shlex.quote(model['tracking_uri'])} MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false"
        print(f"to serve   {terminal.literal(where)} mlflow models serve -m {model['uri']} --env-manager local")


def main() -> None:
    """The command."""
    cli.main("export", job, schema=Export)


if __name__ == "__main__":
    main()
