"""Presets load, and what the command line changes is checked like a preset."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from robostral_policies.config import TrainConfig, override

from robostral import config
from robostral.cli import call
from robostral.errors import ConfigError

PRESET = TrainConfig(env="x", name="x")


@pytest.mark.parametrize("name", config.names("train"))
def test_every_preset_loads(name: str) -> None:
    assert config.load("train", name, TrainConfig).name == name


@given(st.integers(1, 99), st.lists(st.integers(1, 999), min_size=1, max_size=4), st.floats(0.1, 9.0))
def test_settings_change_figures(rounds: int, hidden: list[int], fine: float) -> None:
    made = override(
        PRESET, [f"dagger.rounds={rounds}", f"actor.hidden={hidden}", f"actor.near.goal={{reach: 9, fine: {fine!r}}}"]
    )
    assert (made.dagger.rounds, made.actor.hidden, made.actor.near["goal"].fine) == (rounds, tuple(hidden), fine)
    assert made.digest != PRESET.digest


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("dagger.round=3", "did you mean 'rounds'"),
        ("dagger.rounds=0", "dagger.rounds"),
        ("dagger.rounds", "KEY=VALUE"),
        ("seed.x=1", "'seed' is a figure"),
        ("seed=1048576", "seed"),
        ("fit.batch=many", "fit.batch"),
        ("kwargs.engine=mujoco", "engine 'pybullet' and kwargs.engine 'mujoco' differ"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        override(PRESET, [setting])


def test_a_missing_package_is_answered_with_its_extra() -> None:
    code = (
        "import sys; sys.modules['safetensors'] = None; from robostral.cli import main; main(['train', 'ur5e-reach'])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stderr.count("\n")) == (2, 1)
    assert 'pip install "robostral[train]"' in run.stderr


def test_an_unknown_preset_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["train", "ur5e-reech"]) == 2
    assert "did you mean 'ur5e-reach'" in capsys.readouterr().err
