"""Hydra's name for this machine's own processes: hydra/launcher=workers, which a sweep takes where none is named.

Hydra takes launchers from the `hydra_plugins` namespace alone; what they do is in pipeline/sweep/workers.py.
"""

from hydra._internal.core_plugins.basic_launcher import BasicLauncher


class WorkersLauncher(BasicLauncher):
    """Says how many of this machine's cores to keep busy."""

    def __init__(self, cores: int | None = None) -> None:
        super().__init__()
        self.cores = cores
