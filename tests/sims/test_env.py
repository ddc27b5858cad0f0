"""The environment keeps Gymnasium's rules, its own contract, and its bits."""

import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from robostral_sims.env import CellEnv, EnvError

from robostral.errors import ConfigError, UnknownName

ID = "robostral_sims:Robostral/Reach-v0"


@pytest.fixture
def env():
    env = gymnasium.make(ID, render_mode="rgb_array").unwrapped
    yield env
    env.close()


def rollout(env, seed, steps=12):
    """Return every number of an episode's first steps under random actions, as bytes."""
    obs, _ = env.reset(seed=seed)
    rng, seen = np.random.default_rng(seed), [obs.tobytes()]
    for _ in range(steps):
        obs, reward, terminated, truncated, info = env.step(rng.uniform(-1, 1, (3, 6)))
        seen.append(obs.tobytes() + np.float64(reward).tobytes() + info["reason"].encode())
        if terminated or truncated:
            break
    return b"".join(seen)


def test_both_checkers_pass_with_warnings_as_errors(env):
    from stable_baselines3.common.env_checker import check_env as check_env_sb3

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env)
        check_env_sb3(env, warn=True, skip_render_check=False)


def test_same_seed_same_bits_in_another_process_after_anything():
    code = (
        "import hashlib, sys; sys.path.insert(0, 'tests/sims')\n"
        "import gymnasium; from test_env import ID, rollout\n"
        "env = gymnasium.make(ID).unwrapped\n"
        "{before}\n"
        "print(hashlib.sha256(rollout(env, 7)).hexdigest())\n"
    )
    stories = ("pass", "rollout(env, 3, 200); env.reset(seed=7); env.reset(seed=9); env.reset(seed=7)")
    command = [sys.executable, "-c"]
    runs = [subprocess.Popen([*command, code.format(before=s)], stdout=subprocess.PIPE) for s in stories]
    digests = [run.communicate()[0].split()[-1] for run in runs]
    assert len(set(digests)) == 1


def test_two_environments_share_nothing(env):
    alone = rollout(env, 5)
    other = gymnasium.make(ID).unwrapped
    first, _ = env.reset(seed=5)
    other.reset(seed=6)
    seen, rng, noise = [first.tobytes()], np.random.default_rng(5), np.random.default_rng(1)
    for _ in range(12):
        obs, reward, terminated, truncated, info = env.step(rng.uniform(-1, 1, (3, 6)))
        seen.append(obs.tobytes() + np.float64(reward).tobytes() + info["reason"].encode())
        other.step(noise.uniform(-1, 1, (3, 6)))
        if terminated or truncated:
            break
    other.close()
    assert b"".join(seen) == alone


def test_the_contract_gives_the_spaces_and_prints_itself(env):
    assert env.observation_space.shape == (env.contract.obs_size,) == (27,)
    assert env.action_space.shape == env.contract.chunk_shape == (3, 6)
    assert env.sealed.contract is env.contract
    assert "goal_rot6d" in str(env.contract)
    chunk = np.full((3, 6), env.contract.action.high[0], np.float32)
    np.testing.assert_allclose(env.to_action(chunk), 1.0)
    np.testing.assert_allclose(env.to_chunk(env.to_action(chunk / 3)), chunk / 3, rtol=1e-6)


def test_every_episode_ends_and_says_why(env):
    for seed in range(3):
        env.reset(seed=seed)
        env.action_space.seed(seed)
        for _ in range(1000):
            obs, _, terminated, truncated, info = env.step(env.action_space.sample())
            assert obs in env.observation_space
            if terminated or truncated:
                break
        assert terminated or truncated
        assert info["reason"] == "time limit" or info["reason"].startswith("guard: ")
        assert not info["success"]
        with pytest.raises(EnvError, match="reset"):
            env.step(env.action_space.sample())


def test_what_makes_no_sense_is_named(env):
    with pytest.raises(EnvError, match="reset"):
        env.step(np.zeros((3, 6), np.float32))
    env.reset(seed=0)
    with pytest.raises(EnvError, match=r"\(6,\).*\(3, 6\)"):
        env.step(np.zeros(6, np.float32))
    with pytest.raises(EnvError, match="NaN"):
        env.step(np.full((3, 6), np.nan, np.float32))
    env.close()
    env.close()
    with pytest.raises(EnvError, match="closed"):
        env.render()
    with pytest.raises(EnvError, match="reset"):
        env.step(np.zeros((3, 6), np.float32))


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        ({"arm": "ur5"}, "did you mean 'ur5e'"),
        ({"engine": "bullet"}, "did you mean 'pybullet'"),
        ({"task": "Reech"}, "did you mean 'Reach'"),
        ({"cell": "ur5e-rech"}, "did you mean 'ur5e-reach'"),
    ],
)
def test_unknown_names_get_the_nearest_one(options, fact):
    with pytest.raises(UnknownName, match=fact):
        CellEnv(**options)


def test_options_that_do_not_fit_are_refused():
    with pytest.raises(EnvError, match="human"):
        CellEnv(render_mode="human")
    for task in ("no_module:Hover", "robostral_sims.tasks.reach:Hover"):
        with pytest.raises(ConfigError, match=f"task '{task}' cannot be loaded"):
            CellEnv(task)
    with pytest.raises(ConfigError, match="policy step"):
        CellEnv(rate_hz=333.0)
    with pytest.raises(ConfigError, match=r"outside the control rates \[125, 1000\]"):
        CellEnv(rate_hz=0.0)


def test_500_hz_is_the_same_task():
    env = CellEnv(rate_hz=500.0, randomize=False)
    obs, info = env.reset(seed=1)
    while info["reason"] == "running":
        obs, _, _, _, info = env.step(env.to_action(env.expert(obs)))
    assert info["success"], info
    env.close()


def test_it_can_be_looked_at(env):
    env.reset(seed=0)
    picture = env.render()
    assert picture.shape == (240, 320, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 10.0
