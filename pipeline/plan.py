"""What would be trained: every layer's shape and cost, or with -m every arm of a sweep, before any time is spent.

python -m pipeline.plan architecture.kernel_size=5
python -m pipeline.plan -m experiment=kernel_size
"""

if __name__ == "__main__":
    from pipeline.beginning import begin

    begin()


import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from pipeline import architecture, cli, config, data, terminal, transfer
from pipeline.architecture import Plan
from pipeline.architecture.geometry import is_sequence
from pipeline.beginning import importing
from pipeline.config import Config
from pipeline.config.metrics import METRICS
from pipeline.errors import InputError
from pipeline.names import arm
from pipeline.run.resolve import describe_transfer, plan_run
from pipeline.sweep import design, fairness

if TYPE_CHECKING:
    from rich.table import Table


def job(cfg: DictConfig) -> int:
    """One network, layer by layer."""
    settings = config.from_hydra(cfg)
    run = plan_run(settings)
    made, planned = run.outline, run.outline.plan
    found = planned.to_dict()
    if made.tuning:
        found["total"] |= made.parameters
        found["transfer"] = describe_transfer(run)
        for row, layer in zip(found["layers"], planned.layers, strict=True):
            row["transfer"] = made.of_layer(layer)
    if made.advice:
        found.setdefault("transfer", {})["advice"] = made.advice.to_json()
    found["memory"] = {
        "batch_size": settings.data.batch_size,
        "activation_bytes": planned.activation_bytes(settings.data.batch_size),
    }
    found["advice"] = architecture.advice(planned)
    terminal.mind(fairness.contradictions(settings))
    cli.emit(settings.output, found, lambda: layers_table(found))
    return cli.DONE


def sweep(multirun: design.Multirun) -> int:
    """All arms of a sweep, what is unfair between them, and what they will cost."""
    looks = design.looks_of(multirun)
    factors, jobs = design.expand(multirun.of_seeds(looks[-1]) if looks else multirun)
    arms = design.arms(jobs)
    found: dict[str, Any] = {
        "arms": [
            {
                "levels": a.levels,
                "total": {"params": a.planned.params, "macs": a.planned.macs}
                | (a.planned_run.outline.parameters if a.planned_run.outline.tuning else {}),
            }
            | ({"match": a.planned.match.to_dict()} if a.planned.match else {})
            for a in arms
        ],
        "runs": len(jobs),
        "seeds": sorted({j.seed for j in jobs}),
        "looks": list(looks),
        "sources": len(design.sources_of(jobs)),
        "confounds": fairness.confounds(factors, jobs),
        "duplicates": fairness.duplicates(jobs),
        "unmatched": fairness.unmatched(jobs),
        "estimate": estimate(jobs),
        "power": _power(factors, jobs, looks),
    }
    terminal.mind(fairness.contradictions(jobs[0].settings))
    cli.emit(jobs[0].settings.output, found, lambda: arms_table(found))
    return cli.DONE


def _power(factors: list[str], jobs: Sequence[design.Job], looks: tuple[int, ...]) -> dict[str, Any] | None:
    """What the design can find, in words as well; None where it compares nothing."""
    from pipeline.evidence import power

    settings = jobs[0].settings
    asked, overlap = settings.experiment, 0.0
    with contextlib.suppress(InputError):  # the data is not here
        prepared = data.prepare(settings.data, settings.seed)
        overlap = data.redrawn(prepared, settings.data, METRICS[asked.metric].split)
    levels = [one.levels for one in design.arms(jobs)]
    seeds = len({one.seed for one in jobs})
    found = power.power_of(levels, factors, asked.contrasts, seeds, looks or None, overlap)
    if found is None:
        return None
    spread = power.spread_before(Path(settings.runs_dir) / asked.name, factors, asked.metric)
    said = power.sentences(found, asked.smallest_effect, spread, overlap)
    return {**dataclasses.asdict(found), "overlap": overlap, "spread": spread, "sentences": said}


def estimate(jobs: Sequence[design.Job]) -> dict[str, Any]:
    """Seconds and bytes by a short calibration on this machine; {"why_not": ...} where the data is not here."""
    sizes: dict[str, dict[str, int]] = {}
    runs: list[tuple[Config, Plan]] = [(one.settings, one.planned) for one in jobs]
    try:
        runs += [(source.settings, source.network.plan()) for source, _ in design.sources_of(jobs)]
        for one, _ in runs:
            if str(one.data) not in sizes:
                prepared = data.prepare(one.data, one.seed)
                splits = data.split(prepared, one.data, one.seed)
                sizes[str(one.data)] = {name: len(indices) for name, indices in splits.items()}
    except InputError as error:
        return {"why_not": str(error)}
    with importing():
        from pipeline.training.calibrate import Sizes, estimate  # torch: only where there is something to time

    return estimate(runs, [Sizes(**sizes[str(one.data)]) for one, _ in runs])


def layers_table(found: dict[str, Any]) -> None:
    """A row per layer, the totals, and where the network leaves the notes' guidelines."""
    console = terminal.console()
    wide = console.width >= 100  # a narrow terminal gets what the names do not say already
    starts = "transfer" in found["layers"][0]
    rows = _table("layer", *(["type"] if wide else []), "output >", "params >", "=", "MACs >", "sees >",
                  *(["jump >"] if wide else []), *(["role"] if starts else []))  # fmt: skip
    for layer in found["layers"]:
        rows.add_row(
            layer["name"],
            *([layer["type"]] if wide else []),
            "x".join(map(str, layer["output_shape"])),
            f"{layer['params']:,}" if layer["params"] else "",
            layer["formula"] if layer["params"] else "",
            f"{layer['macs']:,}" if layer["macs"] else "",
            str(layer["receptive_field"] or ""),
            *([str(layer["jump"] or "")] if wide else []),
            *([layer["transfer"]["role"]] if starts else []),
        )
    channels, _, width = shape = found["input_shape"]
    text = is_sequence(shape)
    said = f"{width} tokens of a vocabulary of {channels:,}" if text else "x".join(map(str, shape))
    console.print(f"input {said}")
    console.print(rows)
    total, memory = found["total"], found["memory"]
    one = "text" if text else "image"
    console.print(
        f"{total['params']:,} parameters, {total['macs']:,} MACs for one {one}, activations of a batch of "
        f"{memory['batch_size']}: {size(memory['activation_bytes'])} in float32",
    )
    if starts:
        console.print(f"{total['trained']:,} parameters are trained, {total['frozen']:,} are frozen")
    if advice := found.get("transfer", {}).get("advice"):
        console.print("\n  ".join(transfer.sentences(advice)))
    if "match" in found:
        console.print(f"match: {found['match']['note']}")
    if found["advice"]:
        console.print("\nWhere it leaves the notes' guidelines:")
    grouped: dict[tuple[str, str], list[str]] = {}
    for one in found["advice"]:
        grouped.setdefault((one["advice"], one["reason"]), []).append(one["layer"])
    for (what, why), where in grouped.items():
        console.print(f"  {', '.join(where)}: {what}; {why}.")


def arms_table(found: dict[str, Any]) -> None:
    """A row per arm, what is confounded, and the estimate."""
    console = terminal.console()
    rows = _table("arm", "params >", "MACs >", "widths")
    for one in found["arms"]:
        widths = ",".join(map(str, one["match"]["widths"])) if "match" in one else ""
        rows.add_row(arm(one["levels"]) or "-", f"{one['total']['params']:,}", f"{one['total']['macs']:,}", widths)
    console.print(rows)
    sources = f", after {n} source{'' if n == 1 else 's'} to start from" if (n := found["sources"]) else ""
    most = "at most " if found["looks"] else ""
    console.print(
        f"{len(found['arms'])} arms x {most}{len(found['seeds'])} seeds = {most}{found['runs']} runs{sources}"
    )
    if found["looks"]:
        console.print(
            f"looked at when there are {', '.join(map(str, found['looks']))} seeds; what is settled ends there"
        )
    for one in found["confounds"]:
        console.print(f"{'meant' if one['meant'] else 'mind'}: {one['text']}",
                      style="dim" if one["meant"] else "yellow")  # fmt: skip
    for text in [one["text"] for one in found["duplicates"]] + found["unmatched"]:
        console.print(f"mind: {text}", style="yellow")
    for text in (found["power"] or {}).get("sentences", ()):
        console.print(text, highlight=False)
    cost = found["estimate"]
    if "why_not" in cost:
        console.print(f"no estimate of time: {cost['why_not']}")
    else:
        console.print(
            f"about {terminal.duration(cost['seconds'])} here, one run after the other, "
            f"and {size(cost['disk_bytes'])} of disk",
            highlight=False,
        )


def _table(*columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        rows.add_column(name.removesuffix(" >"), justify="right" if name.endswith(" >") else "left", overflow="fold")
    return rows


def size(n: float) -> str:
    """Bytes for people: 12 MB."""
    power = min(4, max(0, len(f"{n:.0f}") - 1) // 3)
    return f"{n / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def main() -> None:
    """The command."""
    cli.main("config", job, sweep)


if __name__ == "__main__":
    main()
