"""What the server of the workers imports, which are forked from it: all that a run needs."""

from pipeline.beginning import importing

with importing():
    import hydra.core.hydra_config  # noqa: F401

    import pipeline.cli
    import pipeline.run.finish
    import pipeline.sweep.schedule  # the command, whose module each worker reads again, in vain  # noqa: F401
