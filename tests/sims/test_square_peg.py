"""The square peg's search: along the told sides wherever they point, again and otherwise after a failure, gently."""

import numpy as np
import pytest
from robostral_sims.env import CellEnv
from robostral_sims.tasks.peg_insert import FORCE_LIMIT_N
from robostral_sims.tasks.square_peg import corner_kernel

LANE = 0.012
"""Tilt by which the command counts a try that failed [rad]."""


@pytest.fixture(scope="module")
def cell():
    env = CellEnv("PegInsert", "panda", cell="panda-peg_insert_square")
    yield env
    env.close()


def play(env, seed, plant=None):
    """Return the last info, and how many failed tries the command counted at the end."""
    obs, info = env.reset(seed=seed, options={"plant": plant} if plant else None)
    tries = 0
    while info["reason"] == "running":
        obs, _, _, _, info = env.step(env.to_action(env.expert(obs)))
        across = complex(*obs[18:20]) * complex(1.0, 1.0)
        tries = (
            round((-complex(*obs[9:11]) * across.conjugate()).real / abs(across) / LANE) if obs[2] < -0.013 else tries
        )
    assert info["force_peak_n"] <= FORCE_LIMIT_N
    return info, tries


@pytest.mark.parametrize("error", [(0.005, 0.005, 0.005, 0.035), (-0.005, 0.005, -0.005, -0.035), (0.0, 0.0, 0.0, 0.0)])
def test_it_finds_the_hole_from_the_corners_of_what_may_be_wrong(cell, error):
    plant = dict(zip(("hole_x", "hole_y", "hole_z", "hole_yaw"), error, strict=True))
    info, _ = play(cell, 3, {**plant, "hole_lean": 0.035, "hole_side": 1.0, "mu": 0.8})
    assert info["success"], info


def test_where_no_hole_is_it_tries_again_and_never_presses_too_hard(cell):
    info, tries = play(cell, 0, {"hole_x": 0.025, "hole_y": 0.025})
    assert info["reason"] == "time limit"
    assert tries >= 2


def test_the_told_sides_turn_everything_that_it_does():
    """All but heights, turned about the vertical: the chunk turns with it."""
    rng, angle = np.random.default_rng(0), 0.8
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for _ in range(50):
        obs = rng.normal(scale=0.01, size=24)
        obs[14], obs[18:24] = rng.uniform(0.0, 8.0), (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
        turned = obs.copy()
        for at in (0, 3, 6, 9, 12, 15, 18, 21):
            turned[at : at + 2] = turn @ obs[at : at + 2]
        chunks = np.zeros((2, 2, 6), np.float32)
        corner_kernel(obs, chunks[0])
        corner_kernel(turned, chunks[1])
        for at in (0, 3):
            np.testing.assert_allclose(chunks[1, 0, at : at + 2], turn @ chunks[0, 0, at : at + 2], atol=1e-8)
        np.testing.assert_allclose(chunks[1, 0, [2, 5]], chunks[0, 0, [2, 5]], atol=1e-8)
        assert np.abs(chunks).max() > 0.0
