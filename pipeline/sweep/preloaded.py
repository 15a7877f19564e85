"""What the server of the workers imports, which are forked from it: all that a run needs."""

import importlib
import os
import signal

from pipeline.beginning import importing
from pipeline.stopping import end_with_parent

NAMES = ("pipeline.run.finish", "pipeline.sweep.workers")  # by name: they stand above this one

end_with_parent(os.getppid())  # where the command is killed as well
try:
    with importing():
        for _name in NAMES:
            importlib.import_module(_name)
finally:
    # The server is started with SIGINT held back. What came meanwhile is dropped, and what comes to its workers, whom
    # the command tells.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
