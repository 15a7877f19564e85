"""What the server of the workers imports, which are forked from it: all that a run needs."""

import importlib
import signal

from pipeline.beginning import importing

# The last two are the command's, whose module each worker reads again, in vain. By name, as they stand above this one.
NAMES = ("pipeline.run.finish", "hydra.core.hydra_config", "pipeline.sweep.schedule", "pipeline.cli")

try:
    with importing():
        for _name in NAMES:
            importlib.import_module(_name)
finally:
    # The server is started with SIGINT held back. What came meanwhile is dropped: the command tells its workers.
    _before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, _before)
