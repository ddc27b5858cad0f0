"""Every preset is loaded, and what two of them say about the same thing is the same."""

import pytest

from robostral import config
from robostral.arm import load_arm
from robostral.runtime.config import RunConfig


@pytest.mark.parametrize("name", config.names("run"))
def test_a_run_preset_loads(name: str) -> None:
    preset = config.load("run", name, RunConfig)
    assert load_arm(preset.arm).limits is not None


@pytest.mark.parametrize("name", config.names("train"))
def test_a_training_preset_loads(name: str) -> None:
    from robostral_policies.config import TrainConfig

    assert config.load("train", name, TrainConfig).name


@pytest.mark.parametrize("name", config.names("cells"))
def test_a_cell_preset_loads(name: str) -> None:
    from robostral_sims.scene import load_scene

    assert load_scene(name).arms


def test_the_twin_runs_in_the_workspace_that_its_policy_was_trained_in() -> None:
    from robostral_sims.scene import load_scene

    trained, run = load_scene("ur5e-reach").regions["workspace"], config.load("run", "ur5e-twin", RunConfig).workspace
    assert run is not None
    assert (tuple(trained.low), tuple(trained.high)) == (run.low, run.high)


def test_there_is_a_preset_of_each_kind() -> None:
    assert all(config.names(kind) for kind in ("run", "train", "cells"))
