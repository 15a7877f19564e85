"""What the documents of a run and a sweep hold. They are checked where they are read, so that nobody else has to ask.

A shape says as much as our own code relies on; there may be more. {"name": shape}: an object with that field, "name?":
where it is there; {str: shape}: an object with any fields; [shape]: a list; a set: one of these words; else types.
"""

from typing import Any

from pipeline.perturbations import PERTURBATIONS

NUMBER = (int, float)
TEXT_OR_NONE = (str, type(None))

STATUS = {
    "status": {"running", "finished", "failed", "interrupted"},
    "pid?": int,
    "host?": str,
    "started?": NUMBER,
    "ended?": NUMBER,
    "error?": str,
    "resumed?": int,
    "spent?": NUMBER,
    "metrics?": {str: NUMBER},
    "parameters?": {"total": int, "trainable": int},
    "seconds?": NUMBER,
    "key?": str,
    "files?": {str: str},
}

# What status.json says besides of a run that finished
FINISHED = {"metrics": {str: NUMBER}, "parameters": {"total": int, "trainable": int}, "seconds": NUMBER}

RUN = {
    "config": {
        "seed": int,
        "runs_dir": str,
        "architecture": {str: object},
        "tracking": {"uri": TEXT_OR_NONE},
        "experiment": {"name": str},
    },
    "key": str,
    "key_parts?": {str: str},
    "code?": {str: str},
    "code_digest?": str,
    "uid?": str,
    "arm": str,
    "dataset": {
        "name": str,
        "dir": str,
        "digest": str,
        "input_shape": [int],
        "classes": [object],
        "counts": {"train": int, "test": int, str: int},
    },
    "transfer?": {str: object},
    "parameters": int,
    "macs": int,
    "git_sha?": TEXT_OR_NONE,
}

SWEEP = {
    "experiment": {"name": str, "question": str, "metric": str, "mode": str, "smallest_effect": NUMBER},
    "factors": [str],
    "accepted?": [str],
    "jobs": [{"levels": {str: object}, "seed": int, "dir": str, "key": str}],
    "started?": NUMBER,
    "uid?": str,
    "tracking?": {"uri": TEXT_OR_NONE},
    "git_sha?": TEXT_OR_NONE,
}

ROW = {"step": NUMBER, "time_ms": NUMBER, "metrics": {str: NUMBER}}

CURVE = [[NUMBER]]
# A kind that is newer than the run is not there.
CURVES = {"rotation": CURVE, "scale": CURVE, "shift": CURVE} | {f"{kind}?": CURVE for kind in PERTURBATIONS}
INVARIANCE = CURVES | {"agreement": CURVES, "key?": str}

TRACKING = {
    "tracking": {"uri": TEXT_OR_NONE, "artifacts?": TEXT_OR_NONE, "wait_s?": NUMBER, "push_every_s?": NUMBER},
    "mlflow_run_id": TEXT_OR_NONE,
    "tries": int,
    "begun": bool,
    "rows": int,
    "files": {str: int},
    "status": str,
    "ended": (list, type(None)),
    "last_row?": str,
    "attached?": {"files": [str], "metrics": {str: NUMBER}},
}


def misfit(value: Any, shape: Any, name: str = "") -> str | None:
    """Where `value` is not of `shape`, in a few words; None where it is."""
    if isinstance(shape, set):
        return None if isinstance(value, str) and value in shape else f"{name} is none of {', '.join(sorted(shape))}"
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{name} is no list"
        return next((said for one in value if (said := misfit(one, shape[0], f"an item of {name}"))), None)
    if not isinstance(shape, dict):
        kinds = shape if isinstance(shape, tuple) else (shape,)
        fits = isinstance(value, kinds) and not (isinstance(value, bool) and int in kinds)
        return None if fits else f"{name} is of the wrong kind"
    if not isinstance(value, dict):
        return f"{name or 'it'} is no object"
    for key, inner in shape.items():
        if key is str:
            fields = {f"{name}.{field}": one for field, one in value.items()}
        elif key.removesuffix("?") in value:
            fields = {f"{name}.{key}".strip(".?"): value[key.removesuffix("?")]}
        elif key.endswith("?"):
            continue
        else:
            return f"it lacks {f'{name}.{key}'.strip('.')}"
        for field, one in fields.items():
            if said := misfit(one, inner, field):
                return said
    return None
