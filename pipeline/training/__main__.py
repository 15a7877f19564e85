"""One process of a distributed run: `python -m pipeline.training RUN_DIR`, started by torchrun's agent."""

import sys
from pathlib import Path

from torch.distributed.elastic.multiprocessing.errors import record


@record  # tells the agent which process failed first, and how
def main() -> None:
    """Train the run whose directory is the first argument."""
    from pipeline.training.fit import fit

    fit(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
