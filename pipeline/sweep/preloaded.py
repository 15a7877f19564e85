"""What the server of the workers imports, which are forked from it: all that a run needs."""

import signal

from pipeline.beginning import importing

with importing():
    import hydra.core.hydra_config  # noqa: F401

    import pipeline.cli
    import pipeline.run.finish
    import pipeline.sweep.schedule  # the command, whose module each worker reads again, in vain  # noqa: F401

# The server is started with SIGINT held back. What came meanwhile is dropped: the command tells its workers.
_before = signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
signal.signal(signal.SIGINT, _before)
