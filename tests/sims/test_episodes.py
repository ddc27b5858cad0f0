"""Episodes repeat themselves from their record, to the bit, and a record of something else is refused."""

import msgspec
import numpy as np
import pytest
from robostral_sims.env import CellEnv
from robostral_sims.episodes import pilot_of, play, replay

from robostral.contract import Sealed
from robostral.episode import Episode
from robostral.errors import ConfigError, ContractMismatch, UnknownName


@pytest.fixture(scope="module")
def env():
    env = CellEnv()
    yield env
    env.close()


@pytest.fixture(scope="module")
def failed(env):
    played = play(env, pilot_of(env, "random", 4), 0, options={"plant": {"lag_s": 0.02}})
    assert played.info["plant"]["lag_s"] == 0.02
    assert not played.episode.success
    return played


def test_a_failure_is_played_again_to_the_bit_with_its_reason(failed, tmp_path):
    again, same = replay(Episode.load(failed.episode.save(tmp_path / "failed.json")))
    assert same
    assert again.episode == failed.episode
    assert again.rewards == failed.rewards
    assert again.info["plant"] == failed.info["plant"]
    assert failed.episode.reason in str(again)


def test_another_action_and_another_bit_are_seen(failed):
    actions = failed.episode.steps
    actions[0] *= 0.999
    for change in ({"actions": actions.tolist()}, {"digest": failed.episode.digest[::-1]}):
        _, same = replay(msgspec.structs.replace(failed.episode, **change))
        assert not same


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"contract": "0" * 64}, "here e"),
        ({"env": "robostral_sims:Robostral/Nothing-v0"}, "cannot be made"),
        ({"kwargs": {"armm": "ur5e"}}, "armm"),
    ],
)
def test_a_record_of_something_else_is_refused(failed, change, says):
    with pytest.raises(ConfigError, match=says):
        replay(msgspec.structs.replace(failed.episode, **change))


def test_a_record_that_is_too_short_is_refused(failed):
    with pytest.raises(ConfigError, match="beyond its last"):
        replay(msgspec.structs.replace(failed.episode, actions=failed.episode.actions[:1]))


def test_a_bundle_drives_only_what_it_was_trained_for(env):
    assert play(env, pilot_of(env, "ur5e-reach-v1", 0), 1).episode.success
    other = CellEnv(rate_hz=500.0)
    other.sealed = Sealed.seal(msgspec.structs.replace(env.contract, task="other"))
    with pytest.raises(ContractMismatch, match="task"):
        pilot_of(other, "ur5e-reach-v1", 0)
    other.close()
    with pytest.raises(UnknownName, match="did you mean 'ur5e-reach-v1'"):
        pilot_of(env, "ur5e-reech-v1", 0)


def test_doing_nothing_moves_nothing(env):
    start, _ = env.reset(seed=3)
    seen = []
    play(env, pilot_of(env, "nothing", 0), 3, lambda cell: seen.append(cell.unwrapped._stepper.observe()[:6]))
    assert np.abs(seen[-1] - start[:6]).max() < 1e-3
