"""A source to start from: one tiny network with batch norm, trained on digits once for all tests here."""

import pytest
from running import call
from transfer_runs import SOURCE


def trained(tmp_path_factory, name, line):
    """The directory of a run, in a folder of its own."""
    folder = tmp_path_factory.mktemp(name)
    done = call(folder, "train", f"{line} dir=source")
    assert done.code == 0, done.err
    return folder / "source"


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """The run directory of the source."""
    return trained(tmp_path_factory, "source", SOURCE)


@pytest.fixture(scope="session")
def mlp_source(tmp_path_factory):
    """The run directory of a network without convolutions."""
    line = "data.limit_train=64 trainer.max_epochs=1 tracking=none architecture=mlp architecture.hidden=[8]"
    return trained(tmp_path_factory, "mlp_source", line)
