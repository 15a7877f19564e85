"""Real tracking servers that end with the test."""

import pytest
from servers import kill_server, postgres, postgres_bin, start_server


@pytest.fixture
def server(tmp_path):
    """Start a real tracking server: server() -> (its address, its process)."""
    started = []

    def start(port=None, backend=None, wait=True):
        backend = backend or f"sqlite:///{tmp_path}/server.db"
        started.append(start_server(backend, tmp_path / "server_artifacts", tmp_path / "server.log", port, wait))
        return started[-1]

    yield start
    for _, made in started:
        kill_server(made)


@pytest.fixture(scope="session")
def postgresql():
    """The address of an empty PostgreSQL database."""
    if not postgres_bin():
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with postgres() as address:
        yield address
