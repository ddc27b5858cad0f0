"""Many cells at once show what each would show alone; what is not known, or makes no sense, is named."""

import numpy as np
import planted_jaw
import pytest
from robostral_sims.env import CellEnv, EnvError
from robostral_sims.surrogate_vector import SurrogateVecEnv

from robostral.errors import ConfigError

N, STEPS = 4, 60


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return planted_jaw.write(tmp_path_factory.mktemp("bundles") / "planted-v1")


@pytest.fixture(scope="module")
def alone(planted):
    """What environments of seeds 3 to 6 show while the expert flies them: actions, observations, ends and truths."""
    actions = np.zeros((STEPS, N, 3, 7), np.float32)
    obs, rewards, truths = np.zeros((STEPS + 1, N, 20)), np.zeros((STEPS, N)), np.zeros((STEPS, N, 20))
    env, lives = CellEnv("PickPlace", "panda", engine=f"surrogate:{planted}"), np.full(N, STEPS)
    for i in range(N):
        seen, _ = env.reset(seed=3 + i)
        obs[0, i] = seen
        for k in range(STEPS):
            actions[k, i] = env.to_action(env.expert(seen))
            seen, rewards[k, i], terminated, truncated, _ = env.step(actions[k, i])
            obs[k + 1, i], truths[k, i] = seen, np.concatenate([env.truth.parts[0], env.truth.q])
            if terminated or truncated:
                lives[i] = k
                break
    env.close()
    return actions, obs, rewards, truths, lives


def test_behind_the_whole_guard_each_cell_is_the_environment_of_its_seed(planted, alone):
    actions, obs, rewards, _, lives = alone
    many = SurrogateVecEnv(N, bundle=planted, guard="ticks")
    seen, _ = many.reset(seed=3)
    np.testing.assert_allclose(seen, obs[0], atol=1e-6)
    for k in range(lives.min()):
        seen, reward, terminated, truncated, _ = many.step(actions[k])
        np.testing.assert_allclose(seen, obs[k + 1], atol=2e-5)
        np.testing.assert_allclose(reward, rewards[k], atol=1e-6)
        assert not (terminated | truncated).any()
    many.close()


def test_behind_the_filter_it_stays_within_a_millimetre(planted, alone):
    """Knots are found by two steps instead of four: 0.3 mrad a joint after a second, a part 0.5 mm elsewhere."""
    actions, obs, _, _, lives = alone
    many = SurrogateVecEnv(N, bundle=planted)
    many.reset(seed=3)
    for k in range(lives.min()):
        seen, _, terminated, truncated, _ = many.step(actions[k])
        apart = np.abs(seen - obs[k + 1])
        assert apart[:, 8:11].max() < 1e-3, "from tcp to part [m]"
        assert apart[:, 14:17].max() < 1e-3, "from part to goal [m]"
        assert apart[:, 17:20].max() < 5e-3
        assert not (terminated | truncated).any()
    many.close()


def test_what_a_cell_shows_depends_on_its_seed_alone(planted):
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1.0, 1.0, (220, 3, 3, 7)).astype(np.float32)
    few, many = SurrogateVecEnv(3, bundle=planted), SurrogateVecEnv(70, bundle=planted)
    seen, _ = few.reset(seed=70)
    again, _ = many.reset(seed=4)
    np.testing.assert_array_equal(seen, again[66:69])
    ends = 0
    for action in actions:
        all_actions = np.zeros((70, 3, 3, 7), np.float32)[:, 0]
        all_actions[66:69] = action
        seen, reward, terminated, truncated, infos = few.step(action)
        again, reward_again, *_ = many.step(all_actions)
        np.testing.assert_array_equal(seen, again[66:69])
        np.testing.assert_array_equal(reward, reward_again[66:69])
        for row in np.flatnonzero(terminated | truncated):
            ends += 1
            assert infos["_final_obs"][row]
            assert np.abs(infos["final_obs"][row] - seen[row]).max() > 1e-3, "the next episode has begun"
            final = infos["final_info"]
            assert not final["success"][row]
            assert final["reason"][row] in ("guard: WORKSPACE", "time limit")
            assert truncated[row] == (final["reason"][row] == "time limit")
    assert ends >= 3, "an episode of 8 s ends within 220 steps"
    few.close()
    many.close()


def test_an_episode_begins_with_nothing_of_the_one_before(planted):
    """The hand leaves the workspace with the part in it; the next part lies far from the hand, and stays."""
    many = SurrogateVecEnv(1, bundle=planted)
    obs, _ = many.reset(seed=3)
    low, high = np.array(many.sealed.contract.action.low), np.array(many.sealed.contract.action.high)
    held = 0
    for _ in range(220):
        chunks = many.task.expert(obs)
        held += bool(many._cells.free[0])
        chunks[:, :, :2] = 0.015 if held > 10 else chunks[:, :, :2]
        obs, _, over, late, _ = many.step(((2.0 * chunks - low - high) / (high - low)).astype(np.float32))
        if over[0] or late[0]:
            break
    assert held > 10
    start = many._cells.part.copy()
    for _ in range(3):
        many.step(np.zeros((1, 3, 7), np.float32))
    np.testing.assert_array_equal(many._cells.part, start)
    many.close()


def test_a_cell_beyond_what_was_trained_on_is_cut_off(tmp_path):
    many = SurrogateVecEnv(2, bundle=planted_jaw.write(tmp_path / "planted-v1", beyond=0.6))
    obs, _ = many.reset(seed=0)
    ended = np.zeros(2, bool)
    for _ in range(100):
        actions = (many.task.expert(obs) - 0.0) / np.array([0.015] * 3 + [0.1] * 3 + [0.04]) - np.array(
            [0.0] * 6 + [1.0]
        )
        obs, _, terminated, truncated, infos = many.step(actions.astype(np.float32))
        assert not terminated.any()
        ended |= truncated
        for row in np.flatnonzero(truncated):
            assert infos["final_info"]["reason"][row] == "beyond what was trained on"
        if ended.all():
            return
    pytest.fail("no hand came near its part")


def test_what_makes_no_sense_is_named(planted):
    many = SurrogateVecEnv(2, bundle=planted)
    with pytest.raises(EnvError, match="no episode has begun"):
        many.step(np.zeros((2, 3, 7), np.float32))
    with pytest.raises(EnvError, match="no options"):
        many.reset(options={"plant": {}})
    with pytest.raises(EnvError, match="3 seeds for 2 cells"):
        many.reset(seed=[1, 2, 3])
    many.reset(seed=0)
    with pytest.raises(EnvError, match=r"shape \(1, 3, 7\), these need \(2, 3, 7\)"):
        many.step(np.zeros((1, 3, 7), np.float32))
    with pytest.raises(EnvError, match="NaN"):
        many.step(np.full((2, 3, 7), np.nan, np.float32))
    assert many.step(np.zeros((2, 3, 7), np.float32))[0].shape == (2, 20), "and it lives on"
    many.close()
    with pytest.raises(EnvError, match="at least one"):
        SurrogateVecEnv(0, bundle=planted)
    with pytest.raises(ConfigError, match="task 'PickPlace' only, not 'Reach'"):
        SurrogateVecEnv(2, bundle=planted, task="Reach", arm="ur5e")
    with pytest.raises(ConfigError, match="conveyor"):
        SurrogateVecEnv(2, bundle=planted, task="ConveyorPick", arm="ur5e")
