"""A run's record without a run."""

import dataclasses

from pipeline.records import Counts, DatasetRecord, RunRecord

CONFIG = {"seed": 0, "runs_dir": "runs", "architecture": {}, "tracking": {"uri": None}, "experiment": {"name": "e"}}
DATASET = DatasetRecord("digits", "prepared/digits", "d", (1, 8, 8), ["0", "1"], Counts(8, 2, 4))


def a_run(**changes):
    return dataclasses.replace(RunRecord(CONFIG, "k", "", DATASET, parameters=1, macs=1), **changes)
