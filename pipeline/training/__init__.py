"""Training one run: the LightningModule, its callbacks, checkpoints, and what it records."""

import logging
import warnings


def quiet() -> None:
    """Silence what libraries say about choices that were made on purpose.

    Called after Lightning was imported: the import sets its loggers to INFO.
    """
    for name in ("pytorch_lightning", "lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")  # batches are gathered, see loader.py
    warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", ".*your dataloader is not resumable.*")  # the sampler is, see go_on
    warnings.filterwarnings("ignore", ".*GPU available but not used.*")
    warnings.filterwarnings("ignore", ".*module.s. in eval mode at the start of training.*")  # what is frozen
    warnings.filterwarnings("ignore", ".*srun. command is available on your system")  # on a login node it always is
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")
