"""PickPlace: placed means what it says, the expert places every part on every plant, and episodes repeat to the bit."""

import hashlib
import subprocess
import sys
import warnings

import gymnasium
import msgspec
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from robostral_sims.env import CellEnv, EnvError
from robostral_sims.goal import GoalView
from robostral_sims.randomize import Plant
from robostral_sims.scene import ArmMount, Cylinder, Pose, Scene, load_mounted, load_scene
from robostral_sims.tasks import Truth
from robostral_sims.tasks.pick_place import MIN_DISTANCE_M, PickPlace

from robostral.errors import ConfigError, UnknownName

ARMS = ("panda", "ur5e", "iiwa14")
ID = "robostral_sims:Robostral/PickPlace-v0"


@pytest.fixture(scope="module")
def cell():
    env = CellEnv("PickPlace", "panda")
    yield env
    env.close()


@pytest.fixture
def task():
    scene = load_scene("panda-pick_place")
    return PickPlace(load_mounted(scene.arms[0]), scene)


def play(env, seed, policy=None, steps=1000):
    """Return the last info, and every number of an episode as bytes."""
    obs, info = env.reset(seed=seed)
    rng, seen = np.random.default_rng(seed), [obs.tobytes()]
    while info["reason"] == "running" and len(seen) <= steps:
        action = rng.uniform(-1, 1, env.action_space.shape) if policy is None else policy(obs)
        obs, reward, _, _, info = env.step(action)
        seen.append(obs.tobytes() + np.float64(reward).tobytes())
    return info, b"".join(seen)


def expert(env):
    return lambda obs: env.to_action(env.expert(obs))


@pytest.mark.parametrize("arm", ARMS)
def test_the_expert_places_both_kinds_of_part_on_any_plant(arm):
    env = CellEnv("PickPlace", arm)
    infos = [play(env, seed, expert(env))[0] for seed in range(12)]
    env.close()
    assert all(info["success"] for info in infos), infos
    assert all(info["limited"] == 0 for info in infos), "the set-points stay inside the limits by themselves"
    assert {info["plant"]["round"] > 0.5 for info in infos} == {True, False}


def test_both_checkers_pass_with_warnings_as_errors():
    from stable_baselines3.common.env_checker import check_env as check_env_sb3

    env = gymnasium.make(ID, render_mode="rgb_array").unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env)
        check_env_sb3(env, warn=True, skip_render_check=False)
    env.close()


def test_same_seed_same_bits_in_another_process_after_anything(cell):
    code = (
        "import hashlib, sys; sys.path.insert(0, 'tests/sims')\n"
        "from test_pick_place import CellEnv, expert, play\n"
        "env = CellEnv('PickPlace', 'panda')\n"
        "{before}\n"
        "print(hashlib.sha256(play(env, 7)[1] + play(env, 8, expert(env))[1]).hexdigest())\n"
    )
    stories = ("pass", "env.reset(seed=7); env.reset(seed=7); play(env, 3, expert(env), 40); env.reset(seed=8)")
    runs = [subprocess.Popen([sys.executable, "-c", code.format(before=s)], stdout=subprocess.PIPE) for s in stories]
    here = hashlib.sha256(play(cell, 7)[1] + play(cell, 8, expert(cell))[1]).hexdigest()
    assert {run.communicate()[0].split()[-1].decode() for run in runs} == {here}


def test_a_captured_cell_goes_on_in_the_same_way_with_the_part_in_the_jaw(cell):
    obs, _ = cell.reset(seed=2)
    while not (obs[6] < 0.045 and obs[16] < -0.03):
        obs, *_ = cell.step(cell.to_action(cell.expert(obs)))
    world, ends = cell._world, []
    state, q_c = world.capture(), np.tile(world.capture().q_c, (60, 1))
    for _ in range(2):
        world.reset(state)
        world.run(q_c)
        ends.append(world.capture().parts.tobytes())
    assert ends[0] == ends[1]
    assert np.linalg.norm(world.capture().parts[0, :3] - state.parts[0, :3]) < 5e-3, "it is still held"


def test_no_way_of_failing_beats_standing_still_and_none_beats_the_expert(cell):
    still = np.zeros(cell.action_space.shape)
    still[:, 6] = 1.0
    dive = still.copy()
    dive[:, 2] = -1.0
    returns = {}
    policies = {"expert": expert(cell), "nothing": lambda obs: still, "dive": lambda obs: dive}
    for name, policy in policies.items():
        obs, info = cell.reset(seed=4)
        total = 0.0
        while info["reason"] == "running":
            obs, reward, _, _, info = cell.step(policy(obs))
            total += reward
        returns[name] = total, info["reason"]
    assert returns["nothing"][1] == "time limit"
    assert returns["dive"][1].startswith("guard: ")
    assert returns["expert"][0] > 0.0 > returns["nothing"][0] > returns["dive"][0]


def test_start_and_goal_lie_on_the_table_turned_and_apart(task):
    rng = np.random.default_rng(0)
    for _ in range(200):
        start = task.start(rng)
        part, goal = start.scene.parts[0], start.external[:7]
        assert np.linalg.norm(np.subtract(part.pose.p, goal[:3])) >= MIN_DISTANCE_M
        assert part.pose.p[2] == pytest.approx(part.shape.size[2] / 2.0)
        assert (np.array(task.box.low)[:2] <= goal[:2]).all()
        assert (goal[:2] <= np.array(task.box.high)[:2]).all()
        np.testing.assert_allclose(start.external[7:10], part.pose.p, atol=1e-12)


def test_the_camera_is_wrong_as_the_plant_says(task):
    wrong = Plant({"bias_x": 0.002, "bias_z": -0.001, "bias_yaw": 0.02, "noise": 0.0005, "round": 1.0})
    start = task.start(np.random.default_rng(1), wrong)
    part = start.scene.parts[0]
    assert isinstance(part.shape, Cylinder)
    truth = Truth(*np.zeros((2, 7)), np.array([[*part.pose.p, *part.pose.quat_wxyz, *np.zeros(6)]]), *_rest())
    told, external = [], start.external.copy()
    for _ in range(2000):
        task.outside(truth, external, np.zeros(0))
        told.append(external[7:10] - part.pose.p)
    np.testing.assert_allclose(np.mean(told, axis=0), [0.002, 0.0, -0.001], atol=6e-5)
    np.testing.assert_allclose(np.std(told, axis=0), 0.0005, rtol=0.1)
    np.testing.assert_array_equal(external[:7], start.external[:7])


def _rest():
    """Return the fields of a truth behind the parts, as they are before anything has happened."""
    return [np.zeros((1, 2)), np.zeros(1), *[np.zeros(6)] * (len(Truth.__dataclass_fields__) - 5)]


def test_success_is_lying_at_the_goal_let_go_for_a_while(task):
    start = task.start(np.random.default_rng(0))
    goal, gap = start.external[:7], start.scene.parts[0].shape.size[1] + 0.005
    chunk, obs, q = np.zeros((3, 7), np.float32), np.zeros(20, np.float32), task._arm.home

    def verdicts(shift, opening, count=7):
        task.start(np.random.default_rng(0))
        part = np.array([[goal[0] + shift, *goal[1:], *np.zeros(6)]])
        rest = _rest()
        rest[0][0, 0] = opening
        return [task.judge(obs, chunk, truth=Truth(q, q, part, *rest), stopped=False).success for _ in range(count)]

    assert verdicts(0.0049, gap) == [False] * 5 + [True] * 2
    assert not any(verdicts(0.0051, gap))
    assert not any(verdicts(0.0, gap - 0.002)), "still in the fingers"


def test_rewards_of_a_goal_are_vectorised(task):
    goals = np.stack([task.start(np.random.default_rng(k)).external[:7] for k in range(4)])
    parts = goals.copy()
    parts[1, 0] += 0.006
    parts[2, 3:] = -parts[2, 3:]
    parts[3, 3:] = np.roll(parts[3, 3:], 1)
    np.testing.assert_array_equal(task.compute_reward(parts, goals), [0.0, -1.0, 0.0, -1.0])
    assert task.compute_reward(parts[0], goals[0]) == 0.0


def test_the_goal_form_passes_the_checkers_and_its_reward_can_be_computed_again():
    from stable_baselines3.common.env_checker import check_env as check_env_sb3

    env = GoalView(CellEnv("PickPlace", "panda"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env_sb3(env, warn=True)
    seen, info = env.reset(seed=1)
    rows, rewards = [seen], []
    while info["reason"] == "running":
        seen, reward, _, _, info = env.step(env.unwrapped.to_action(env.unwrapped.expert(seen["observation"])))
        rows.append(seen)
        rewards.append(reward)
    achieved, desired = (np.stack([row[name] for row in rows[1:]]) for name in ("achieved_goal", "desired_goal"))
    np.testing.assert_array_equal(env.compute_reward(achieved, desired, None), rewards)
    assert rewards[0] == -1.0
    assert rewards[-1] == 0.0
    np.testing.assert_array_equal(env.compute_reward(achieved, achieved, None), 0.0)
    env.close()
    reach = CellEnv()
    with pytest.raises(EnvError, match="no goal form"):
        GoalView(reach)
    reach.close()


def test_a_sparse_reward_pays_for_success_alone():
    env = CellEnv("PickPlace", "panda", reward="sparse")
    obs, info = env.reset(seed=1)
    rewards = []
    while info["reason"] == "running":
        obs, reward, _, _, info = env.step(env.to_action(env.expert(obs)))
        rewards.append(reward)
    assert set(rewards[:-1]) == {-1.0}
    assert rewards[-1] == 0.0
    env.close()
    with pytest.raises(UnknownName, match="did you mean 'sparse'"):
        CellEnv(reward="sparce")


def test_an_arm_that_cannot_reach_and_a_cell_without_its_things_are_refused(task):
    scene = task._scene
    far = msgspec.structs.replace(scene.regions["parts"], low=(0.9, -0.2, 0.0), high=(1.1, 0.2, 0.3))
    arm, mount = task._arm, scene.arms[0]
    for changes, fact in (
        ({"regions": {"parts": far}}, "arm 'panda' does not reach corner"),
        ({"regions": {}}, "region 'parts'"),
        ({"bodies": scene.bodies[:1]}, "needs one part"),
        ({"arms": (msgspec.structs.replace(mount, tool=None),)}, "needs a jaw"),
    ):
        with pytest.raises(ConfigError, match=fact):
            PickPlace(arm, msgspec.structs.replace(scene, **changes))
    with pytest.raises(ConfigError, match="is a 'panda', not a 'ur5e'"):
        CellEnv("PickPlace", "ur5e", cell="panda-pick_place")


def test_an_arm_that_stands_elsewhere_sees_and_does_the_same():
    env, turned = CellEnv("PickPlace", "panda", randomize=False), CellEnv("PickPlace", "panda", randomize=False)
    base = Pose((0.3, -0.2, 0.0), (np.cos(0.4), 0.0, 0.0, np.sin(0.4)))
    scene: Scene = turned.scene
    mount: ArmMount = msgspec.structs.replace(scene.arms[0], base=base)
    turned.task = PickPlace(load_mounted(mount), msgspec.structs.replace(scene, arms=(mount,)))
    for one in (env, turned):
        one.reset(seed=5)
    np.testing.assert_allclose(env.reset(seed=5)[0], turned.reset(seed=5)[0], atol=1e-6)
    assert play(turned, 5, expert(turned))[0]["success"]
    env.close()
    turned.close()


def test_what_makes_no_sense_is_named(cell):
    cell.reset(seed=0)
    with pytest.raises(EnvError, match=r"\(7,\).*\(3, 7\)"):
        cell.step(np.zeros(7))
    with pytest.raises(EnvError, match="NaN"):
        cell.step(np.full((3, 7), np.nan))
