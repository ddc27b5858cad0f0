"""WaferTransfer: the wafer gets where it belongs, and what would spoil it is seen."""

import dataclasses

import msgspec
import numpy as np
import pytest
from robostral_sims.env import CellEnv
from robostral_sims.episodes import pilot_of, play, replay
from robostral_sims.scene import load_mounted, load_scene
from robostral_sims.tasks import Truth
from robostral_sims.tasks.wafer_transfer import PLACEMENT_M, SLIP_LIMIT, SLIP_M, WaferTransfer

from robostral.errors import ConfigError

SCENE = load_scene("wafer_rtz-wafer_transfer")
ARM = load_mounted(SCENE.arms[0])


@pytest.fixture(scope="module", params=["pybullet", "mujoco"])
def env(request):
    env = CellEnv("WaferTransfer", "wafer_rtz", request.param)
    yield env
    env.close()


def test_the_expert_brings_it_to_the_pad_and_to_both_carriers(env):
    goals = set()
    for seed in (0, 1, 2):
        played = play(env, pilot_of(env, "expert", 0), seed)
        assert played.episode.success, played
        assert played.info["placement_error_m"] <= PLACEMENT_M
        assert played.info["acceleration_m_s2"] <= SLIP_LIMIT
        assert played.info["slip_m"] <= SLIP_M
        assert played.info["limited"] == 0
        goals.add(tuple(np.round(env.task._goal[:2], 6)))
    assert goals == {(0.5, 0.0), (0.0, 0.5), (0.0, -0.5)}


def test_on_a_slippery_blade_the_wafer_slips_and_that_is_seen(env):
    obs, info = env.reset(seed=1, options={"plant": {"friction": 0.2}})
    while info["reason"] == "running" and info.get("slip_m", 0.0) <= SLIP_M:
        obs, _, _, _, info = env.step(env.to_action(env.expert(obs)))
    assert info["slip_m"] > SLIP_M
    assert not info["success"]


def test_doing_nothing_leaves_everything_at_rest(env):
    seen = []
    played = play(
        env, pilot_of(env, "nothing", 0), 2, lambda cell: seen.append(cell._stepper.truth.parts[0, :3].copy())
    )
    assert not played.episode.success
    assert np.abs(seen[-1] - seen[0]).max() < 1e-4
    assert played.info["touched"] == played.info["slip_m"] == 0.0


def test_an_episode_repeats_itself_to_the_bit_before_anything_has_moved_and_after(env):
    played = play(env, pilot_of(env, "expert", 0), 3)
    env.reset(seed=4)
    again = play(env, pilot_of(env, "expert", 0), 3)
    assert again.episode == played.episode
    assert replay(played.episode)[1]


def test_the_expert_answers_one_and_many_alike():
    task = WaferTransfer(ARM, SCENE)
    rows = np.random.default_rng(0).normal(scale=0.1, size=(6, 15)).astype(np.float32)
    chunks = task.expert(rows)
    np.testing.assert_array_equal(chunks[4], task.expert(rows[4]))
    assert (np.abs(chunks) <= task.contract.action.high).all()


@pytest.mark.parametrize(
    ("wafer", "q", "clear"),
    [
        ((0.5, 0.0, 0.4404), (0.0741, 0.0, 0.36), True),  # rests, blade 4 mm below
        ((0.5, 0.0068, 0.4404), (0.0741, 0.0, 0.36), False),  # nearer than 1 mm to the wall
        ((0.5, 0.0, 0.4404), (0.0700, 0.0, 0.36), False),  # blade in the slot below
        ((0.5, 0.0, 0.4490), (0.0871, 0.0, 0.36), False),  # carried into the slot above
        ((0.15, 0.0, 0.4490), (0.0871, 0.0, 0.01), True),  # the same height outside
    ],
)
def test_walls_and_neighbouring_slots_are_kept_clear_of(wafer, q, clear):
    task = WaferTransfer(ARM, SCENE)
    task.start(np.random.default_rng(0))
    part = np.array([[*wafer, 1.0, *np.zeros(9)]])
    truth = Truth(np.array(q), np.zeros(3), part, np.zeros((1, 2)), np.zeros(1))
    verdict = task.judge(np.zeros(15, np.float32), np.zeros((3, 3), np.float32), truth=truth, stopped=False)
    assert verdict.figures["touched"] == (not clear)
    assert not verdict.success


def test_a_cell_or_an_arm_that_does_not_fit_is_named():
    with pytest.raises(ConfigError, match=r"slot_to"):
        WaferTransfer(ARM, msgspec.structs.replace(SCENE, bodies=SCENE.bodies[:3] + SCENE.bodies[-1:]))
    other = load_mounted(load_scene("ur5e-reach").arms[0])
    with pytest.raises(ConfigError, match="lift, theta and reach"):
        WaferTransfer(dataclasses.replace(other), SCENE)
