"""A source to start from: one tiny network with batch norm, trained on digits once for all tests here."""

import pytest
from running import call
from transfer_runs import SOURCE


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """The run directory of the source."""
    folder = tmp_path_factory.mktemp("source")
    done = call(folder, "train", f"{SOURCE} dir=source")
    assert done.code == 0, done.err
    return folder / "source"


@pytest.fixture(scope="session")
def mlp_source(tmp_path_factory):
    """The run directory of a network without convolutions."""
    folder = tmp_path_factory.mktemp("mlp_source")
    line = "data.limit_train=64 trainer.max_epochs=1 tracking=none architecture=mlp architecture.hidden=[8]"
    done = call(folder, "train", f"{line} dir=source")
    assert done.code == 0, done.err
    return folder / "source"
