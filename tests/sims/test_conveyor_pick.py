"""ConveyorPick: the part is taken from the moving belt in time, and the tracker is as late as it says."""

import msgspec
import numpy as np
import pytest
from robostral_sims.env import CellEnv
from robostral_sims.episodes import pilot_of, play, replay
from robostral_sims.scene import Pose, load_mounted, load_scene
from robostral_sims.tasks.conveyor_pick import ConveyorPick

from robostral.errors import ConfigError

SCENE = load_scene("ur5e-conveyor_pick")
ARM = load_mounted(SCENE.arms[0])


@pytest.fixture(scope="module", params=["pybullet", "mujoco"])
def env(request):
    env = CellEnv("ConveyorPick", "ur5e", request.param)
    yield env
    env.close()


def test_the_expert_picks_before_the_end_line_and_holds(env):
    for seed in range(3):
        played = play(env, pilot_of(env, "expert", 0), seed)
        assert played.episode.success, played
        assert played.info["picked_y_m"] > env.scene.regions["window"].low[1]
        assert played.info["position_error_m"] <= 0.010
        assert played.info["limited"] == 0
        truth = env._stepper.truth
        assert np.linalg.norm(truth.parts[0, :3] - env.task._tcp(truth.q)) < 0.035


def test_without_the_arm_the_belt_carries_the_part_over_the_end_line(env):
    played = play(env, pilot_of(env, "nothing", 0), 1)
    assert not played.episode.success
    assert env._stepper.truth.parts[0, 1] < env.scene.regions["window"].low[1]
    assert played.info["picked"] == 0.0


def test_a_part_that_is_taken_after_the_end_line_does_not_count(env):
    env.task._window = msgspec.structs.replace(env.task._window, low=(-0.6, 0.11, 0.0))
    played = play(env, pilot_of(env, "expert", 0), 2)
    env.task._window = env.scene.regions["window"]
    assert env._stepper.truth.tools[0, 0] == 1.0
    assert played.info["picked"] == 0.0
    assert not played.episode.success


def test_the_tracker_is_as_late_as_the_encoder_and_as_wrong_as_the_camera(env):
    delay, bias = 0.05, 0.002
    figures = {"encoder_delay_s": delay, "bias_x": bias, "bias_y": 0.0, "bias_z": 0.0, "belt_speed": 0.15,
               "belt_swing": 0.0, "encoder_noise": 0.0}  # fmt: skip
    seen = []
    still = pilot_of(env, "nothing", 0)
    obs, info = env.reset(seed=3, options={"plant": figures})
    for _ in range(40):
        obs, *_ = env.step(still(obs))
        told, truth = obs[:3] + obs[15:18], env._stepper.truth
        seen.append((*(told - truth.parts[0, :3])[:2], obs[21]))
    x, y, speed = np.array(seen[-10:]).mean(axis=0)
    assert info["plant"]["encoder_delay_s"] == delay
    assert x == pytest.approx(bias, abs=2e-4)
    assert y == pytest.approx(0.15 * delay, abs=1.5e-3)
    assert speed == pytest.approx(0.15, abs=1e-6)


def test_an_episode_repeats_itself_to_the_bit(env):
    played = play(env, pilot_of(env, "expert", 0), 3)
    env.reset(seed=3)
    env.reset(seed=4)
    assert play(env, pilot_of(env, "expert", 0), 3).episode == played.episode
    assert replay(played.episode)[1]


def test_the_expert_answers_one_and_many_alike():
    task = ConveyorPick(ARM, SCENE)
    rows = np.random.default_rng(0).normal(scale=0.2, size=(6, 24)).astype(np.float32)
    chunks = task.expert(rows)
    np.testing.assert_array_equal(chunks[4], task.expert(rows[4]))
    assert (chunks <= np.float32(task.contract.action.high)).all()
    assert (chunks >= np.float32(task.contract.action.low)).all()


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"conveyors": ()}, "one conveyor"),
        ({"regions": {}}, "'goals', 'seen', 'window'"),
        ({"conveyors": (msgspec.structs.replace(SCENE.conveyors[0], pose=Pose()),)}, "along -y"),
    ],
)
def test_a_cell_that_does_not_fit_is_named(change, fact):
    with pytest.raises(ConfigError, match=fact):
        ConveyorPick(ARM, msgspec.structs.replace(SCENE, **change))
