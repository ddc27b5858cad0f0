"""Polish: the expert holds the force on every plant, what is told follows the surface, and only force control does."""

import math

import msgspec
import numpy as np
import pytest
from robostral_sims.env import CellEnv
from robostral_sims.randomize import Plant
from robostral_sims.scene import load_mounted, load_scene
from robostral_sims.tasks.polish import PATH_S, PRESS_S, RMS_SHARE, Polish

from robostral.errors import ConfigError
from robostral.kinematics.se3 import matrix_from_quat_kernel


@pytest.fixture(scope="module")
def cell():
    env = CellEnv("Polish", "panda")
    yield env
    env.close()


def play(env, seed, policy):
    obs, info = env.reset(seed=seed)
    total = 0.0
    while info["reason"] == "running":
        obs, reward, _, _, info = env.step(policy(obs))
        total += reward
    return info, total


def test_the_expert_holds_the_force_along_the_path(cell):
    for seed in range(3):
        info, total = play(cell, seed, lambda obs: cell.to_action(cell.expert(obs)))
        assert info["success"], info
        assert info["force_rms_share"] <= RMS_SHARE
        assert total > 0.0


def test_doing_nothing_and_doing_anything_score_nothing(cell):
    rng = np.random.default_rng(0)
    for policy in (lambda obs: np.zeros((2, 6), np.float32), lambda obs: rng.uniform(-1.0, 1.0, (2, 6))):
        info, total = play(cell, 0, policy)
        assert not info["success"]
        assert total < 0.0


def test_following_the_drawings_alone_misses_the_force(cell):
    """Position control onto what is told: 3 mm too high or too low is no force or far too much."""

    def place(obs):
        chunk = np.zeros((2, 6), np.float32)
        chunk[0] = 0.5 * obs[12:18]
        return cell.to_action(chunk)

    results = [play(cell, seed, place)[0] for seed in range(2)]
    assert not any(info["success"] for info in results)


def test_what_is_told_runs_along_the_surface_with_its_normal():
    scene = load_scene("panda-polish")
    task, told, R = Polish(load_mounted(scene.arms[0]), scene), np.empty(7), np.empty((3, 3))
    task.start(np.random.default_rng(3), Plant())
    work = scene.bodies[0]
    axis = np.array(work.pose.p)
    for time_s in np.linspace(0.0, PRESS_S + PATH_S, 9):
        task.tell(time_s, told)
        matrix_from_quat_kernel(told[3:], R)
        out = (told[:3] - axis) * (1.0, 0.0, 1.0)
        assert np.linalg.norm(out) == pytest.approx(work.shape.radius)
        np.testing.assert_allclose(R[:, 2], -out / np.linalg.norm(out), atol=1e-12)
    task.start(np.random.default_rng(3), Plant({"work_z": 0.002, "work_lean": 0.01}))
    other = np.empty(7)
    task.tell(PRESS_S + PATH_S / 2.0, told)
    task.start(np.random.default_rng(3), Plant())
    task.tell(PRESS_S + PATH_S / 2.0, other)
    assert told[2] - other[2] == pytest.approx(0.002, abs=1e-9)
    assert 2.0 * math.acos(abs(told[3:] @ other[3:])) == pytest.approx(0.01, abs=1e-6)


def test_same_seed_same_bits_after_other_episodes(cell):
    def start(seed):
        obs, _ = cell.reset(seed=seed)
        rows = [obs]
        for _ in range(40):
            obs, *_ = cell.step(cell.to_action(cell.expert(obs)))
            rows.append(obs)
        return np.stack(rows)

    first = start(5)
    start(6)
    cell.reset(seed=5)
    np.testing.assert_array_equal(start(5), first)


def test_a_cell_without_work_is_named():
    scene = load_scene("panda-polish")
    with pytest.raises(ConfigError, match="body 'work'"):
        Polish(load_mounted(scene.arms[0]), msgspec.structs.replace(scene, bodies=()))
