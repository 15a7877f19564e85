"""The `tracking` section."""

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import InputError, seconds


@dataclass
class Tracking:
    """Which MLflow the runs are shown on.

    `uri` is always explicit: MLflow's own default is a file store that MLflow 3.14 and later refuse.
    """

    uri: str | None = "sqlite:///mlruns/mlflow.db"  # where MLflow keeps what it shows; the run directory has it all
    artifacts: str | None = "mlruns/artifacts"  # folder for files; null: a server decides by itself
    push_every_s: float = 5.0  # seconds from one news of a running run to the next
    wait_s: float = 10.0  # seconds that the end of a run may wait for a server; sync sends what is left
    register: str | None = None  # NAME: each run that finishes becomes a version of this registered model

    def __post_init__(self) -> None:
        if self.uri is not None and not self.uri.startswith(("sqlite:///", "http://", "https://")):
            raise InputError(
                f"tracking.uri={self.uri}: must start with sqlite:///, http:// or https://, or be null for no tracking."
            )
        if self.uri is not None and self.uri.startswith("http") and not re.fullmatch(r"https?://[^\s\\@]+", self.uri):
            raise InputError(
                f"tracking.uri={self.uri}: must be http(s)://HOST:PORT without '@' and spaces. A name and password "
                "go into MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
            )
        # Absolute from here on: a run directory names the place where it is shown, whoever reads it from wherever.
        if self.uri is not None and self.uri.startswith("sqlite:///"):
            self.uri = f"sqlite:///{Path(self.uri.removeprefix('sqlite:///')).absolute()}"
        if self.artifacts is not None:
            self.artifacts = str(Path(self.artifacts).absolute())
        for key in ("push_every_s", "wait_s"):
            seconds(f"tracking.{key}", getattr(self, key))
        check_model_name("tracking.register", self.register)
        if self.register is not None and self.uri is None:
            raise InputError(f"tracking.register={self.register}: needs an MLflow, and tracking.uri is null.")

    @property
    def remote(self) -> bool:
        """Whether a server keeps it."""
        return self.uri is not None and self.uri.startswith("http")


def check_model_name(key: str, name: str | None) -> None:
    """Raise InputError for what MLflow takes for no name of a model, or cannot be asked for in a query."""
    if name is not None and not re.fullmatch(r"[^/:'\"\\\x00-\x1f]{1,200}", name):
        raise InputError(f"{key}={name!r}: must be a name without '/', ':', quotes and control characters.")
