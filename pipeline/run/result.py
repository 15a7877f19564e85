"""What came of a run: the document of `train`, and its table."""

import dataclasses
from pathlib import Path
from typing import Any

from pipeline import rundir, terminal
from pipeline.records import Status
from pipeline.tracking.state import read_run_id


def document(run: Path, key: str | None = None) -> dict[str, Any]:
    """The result document of one run, which has to be the one of `key` where that is given."""
    status = rundir.get_status(run)
    if damage := rundir.damage(run, key):
        status = Status("damaged", error=damage)
    document = {"run": str(run), "mlflow_run_id": read_run_id(run), "status": status.status}
    said = dataclasses.asdict(status)
    return document | {
        name: said[name] for name in ("metrics", "parameters", "seconds", "error") if said[name] not in (None, {})
    }


def print_result(result: dict[str, Any]) -> None:
    """The result of one run for people."""
    from rich.table import Table

    if result["status"] != "finished":
        said = f"{result['status']}: {result.get('error', '')}"
        terminal.console(stderr=True).print(said, style="red", soft_wrap=True)
        if Path(result["run"], "error.txt").exists():
            terminal.console(stderr=True).print(f"See {result['run']}/error.txt", soft_wrap=True)
        return
    rows = Table(show_header=False, box=None)
    for name, value in result["metrics"].items():
        rows.add_row(name, f"{value:.4f}")
    rows.add_row("parameters", f"{result['parameters']['total']:,}")
    rows.add_row("seconds", f"{result['seconds']:.1f}")
    rows.add_row("run", result["run"])
    terminal.console().print(rows)
