"""The configuration group composes with Hydra, and its values can be overridden."""

import pytest
from architecture_presets import FOLDER, NAMES, preset
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from pipeline.config.run import register


def composed(*overrides: str) -> object:
    """The architecture section that Hydra makes of these overrides."""
    register()
    only = {"defaults": [{"architecture": "cnn"}, "_self_"]}
    ConfigStore.instance().store(name="only_architecture", node=only)
    with initialize_config_dir(str(FOLDER.parent), version_base=None):
        return OmegaConf.to_object(compose("only_architecture", overrides=list(overrides)).architecture)


@pytest.mark.parametrize("name", NAMES)
def test_hydra_reads_a_preset_as_the_tests_do(name):
    assert composed(f"architecture={name}") == preset(name)


def test_keys_can_be_overridden():
    section = composed(
        "architecture.filters=[3,4]",
        "architecture.pool_stride=null",
        "architecture.match=params",
        "architecture.match_reference={kernel_size:3}",
    )
    expected = {"filters": [3, 4], "pool_stride": None, "match": "params", "match_reference": {"kernel_size": 3}}
    assert section == preset("cnn", **expected)


def test_a_list_of_layers_can_be_typed():
    section = composed("architecture.layers=[{conv:{filters:4}},{gap:{}},{dense:{}}]")
    assert section.layers == [{"conv": {"filters": 4}}, {"gap": {}}, {"dense": {}}]
