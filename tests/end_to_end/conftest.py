"""The road, walked once for all tests."""

import pytest
from road import SINGLE, SWEEP
from running import call


@pytest.fixture(scope="session")
def road(tmp_path_factory):
    """The folder, and what each command said with output=json, in the order of the road."""
    folder = tmp_path_factory.mktemp("road")
    said = {}
    for name, module, line in (
        ("prepare", "prepare", "data=digits output=json"),
        ("train", "train", f"{SINGLE} output=json"),
        ("sweep", "train", f"{SWEEP} output=json"),
        ("compare", "compare", "sweep=latest output=json"),
    ):
        said[name] = call(folder, module, line)
        assert said[name].code == 0, said[name].err
    return folder, said
