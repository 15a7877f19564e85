"""What a run leaves on disk: the truth of it, and the only thing that commands share.

The files of a run directory are listed in `artifacts`, with what each one holds and what becomes of it; the documents
among them are typed in `records`. A document whose bytes were changed is found out by the checksum in it. A run that
cannot be read whole is `damage`d: it is left out with its reason, and nothing is made of what can still be read.

A sweep directory holds sweep.json, status.json, tracking.json, lock and one run directory per job; `stop` asks the
processes that a launcher started for it to stop.
"""

from pipeline.rundir.documents import DamagedError, digest, read_json, read_record, write_json, write_record
from pipeline.rundir.finding import find_run, find_sweep, job_of, read_run, read_sweep
from pipeline.rundir.holding import BusyError, alive, claimed, locked
from pipeline.rundir.life import clear, left_behind, resume, start, trains, uid
from pipeline.rundir.measured import read_invariance, read_predictions, write_invariance, write_predictions
from pipeline.rundir.rows import append_metrics, beat, metric_rows, progress
from pipeline.rundir.soundness import check_sealed, damage, seals
from pipeline.rundir.status import end, fail, get_status, set_status

__all__ = [
    "BusyError",
    "DamagedError",
    "alive",
    "append_metrics",
    "beat",
    "check_sealed",
    "claimed",
    "clear",
    "damage",
    "digest",
    "end",
    "fail",
    "find_run",
    "find_sweep",
    "get_status",
    "job_of",
    "left_behind",
    "locked",
    "metric_rows",
    "progress",
    "read_invariance",
    "read_json",
    "read_predictions",
    "read_record",
    "read_run",
    "read_sweep",
    "resume",
    "seals",
    "set_status",
    "start",
    "trains",
    "uid",
    "write_invariance",
    "write_json",
    "write_predictions",
    "write_record",
]
