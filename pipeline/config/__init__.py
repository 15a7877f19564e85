"""The typed whole: a composed DictConfig becomes a `Config` here and goes no further.

A section is a dataclass beside the code that it configures, or here, where it is no package's own.
Importing this package imports no torch.
"""

from pipeline.config.experiment import Contrast, Experiment
from pipeline.config.run import (
    Config,
    card_of_run,
    flat,
    from_dict,
    from_hydra,
    of_run,
    register,
    settled,
    to_dict,
    typed,
)
from pipeline.config.tracking import Tracking
from pipeline.config.trainer import Optimizer, Trainer

__all__ = [
    "Config",
    "Contrast",
    "Experiment",
    "Optimizer",
    "Tracking",
    "Trainer",
    "card_of_run",
    "flat",
    "from_dict",
    "from_hydra",
    "of_run",
    "register",
    "settled",
    "to_dict",
    "typed",
]
