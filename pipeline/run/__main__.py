"""One process of a distributed run: `python -m pipeline.run RUN_DIR AGENT_PID`, started by torchrun's agent."""

import contextlib
import sys
from pathlib import Path

from torch.distributed.elastic.multiprocessing.errors import record

from pipeline import stopping
from pipeline.beginning import importing
from pipeline.errors import of_machine


@record  # tells the agent which process failed first, and how
def main() -> None:
    """Train the run whose directory is the first argument, as long as the agent lives."""
    stopping.end_with_parent(int(sys.argv[2]))
    # Stopped in good order: the status, which is not "finished" then, tells the agent's side so.
    with contextlib.suppress(stopping.Stopped), stopping.interruptible():
        with importing():
            from pipeline import data
            from pipeline.run.finish import train_here

        data.trust_command()
        try:
            train_here(Path(sys.argv[1]))
        except Exception as error:
            # Only the last error reaches the agent, and torch hides what the disk said in the one before.
            if found := of_machine(error):
                raise found from error
            raise


if __name__ == "__main__":
    main()
