"""Reach: goals are where they are said to be, the expert is smooth and reaches them, success means what it says."""

import msgspec
import numpy as np
import pytest
from robostral_sims.engines import engine_names
from robostral_sims.env import CellEnv
from robostral_sims.scene import ArmMount, Region, Scene, load_scene
from robostral_sims.tasks.reach import Reach

from robostral.arm import arm_names, load_arm
from robostral.arm.limits import DQ, Q_MAX, Q_MIN
from robostral.errors import ConfigError
from robostral.kinematics import condition
from robostral.kinematics.fk import tcp_kernel
from robostral.kinematics.jacobian import jacobian_kernel

ARM = load_arm("ur5e")


@pytest.fixture
def task():
    return Reach(ARM, load_scene("ur5e-reach"))


def matrix(quat_wxyz):
    w, x, y, z = quat_wxyz
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def pose(external):
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = matrix(external[3:]), external[:3]
    return T


def tcp(q):
    T = np.empty((4, 4))
    tcp_kernel(ARM.chain.model, q, T)
    return T


def test_goals_are_in_the_box_and_the_tool_looks_down(task):
    rng = np.random.default_rng(0)
    goals = np.array([task.sample_goal(rng) for _ in range(2000)])
    assert (goals[:, :3] >= task.box.low).all()
    assert (goals[:, :3] <= task.box.high).all()
    tilts = np.array([np.arccos(-matrix(goal[3:])[2, 2]) for goal in goals])
    assert tilts.max() <= np.radians(45.0) + 1e-9
    assert tilts.max() > np.radians(44.0)


def test_every_pose_of_the_box_is_far_from_singular_and_so_are_the_ways_between(task):
    rng, J = np.random.default_rng(1), np.empty((6, 6))
    before = ARM.home
    for _ in range(1000):
        q = task.start(rng).q
        assert (ARM.limits.array[Q_MIN] < q).all()
        assert (q < ARM.limits.array[Q_MAX]).all()
        assert np.abs(q - ARM.home).max() < np.pi, "no joint is ever near the other side of its turn"
        for share in (0.3, 0.7, 1.0):
            jacobian_kernel(ARM.chain.model, before + share * (q - before), J)
            assert np.linalg.cond(J) < 17.0, "where a guard would slow down"
        before = q


def test_the_experts_goal_is_a_smooth_function_of_the_pose(task):
    rng, J = np.random.default_rng(2), np.empty((6, 6))
    for _ in range(500):
        goal = task.sample_goal(rng)
        T, moved = pose(goal), pose(goal)
        moved[:3, 3] += (shift := rng.normal(scale=1e-5, size=3))
        q, near = task.branch.solve(T), task.branch.solve(moved)
        np.testing.assert_allclose(tcp(q), T, atol=1e-9)
        jacobian_kernel(ARM.chain.model, q, J)
        np.testing.assert_allclose(J @ (near - q), [*shift, 0, 0, 0], atol=1e-7)


def test_the_expert_answers_one_and_many_alike(task):
    rng = np.random.default_rng(3)
    rows = np.zeros((5, 27), np.float32)
    for row in rows:
        goal = task.sample_goal(rng)
        row[:6], row[12:15] = task.start(rng).q, goal[:3]
        row[15:21] = matrix(goal[3:])[:, :2].T.ravel()
    chunks = task.expert(rows)
    assert chunks.shape == (5, 3, 6)
    assert chunks.dtype == np.float32
    np.testing.assert_array_equal(chunks[2], task.expert(rows[2]))
    assert np.abs(chunks).max() <= 0.06


def test_success_is_settled_within_5_mm_and_3_deg(task):
    obs, chunk = np.zeros(27, np.float32), np.zeros((3, 6), np.float32)
    task.start(np.random.default_rng(0))
    obs[21], obs[24] = 0.0049, np.radians(2.9)
    verdicts = [task.judge(obs, chunk, stopped=False) for _ in range(6)]
    assert [verdict.success for verdict in verdicts] == [False] * 5 + [True]
    assert verdicts[-1].figures["position_error_m"] == pytest.approx(0.0049)
    for outside in ({21: 0.0051}, {24: np.radians(3.1)}):
        task.start(np.random.default_rng(0))
        for step in range(12):
            bad = obs.copy()
            if step == 4:
                bad[list(outside)] = list(outside.values())
            assert task.judge(bad, chunk, stopped=False).success == (step >= 10), "a break begins the wait anew"


def test_the_expert_reaches_every_goal_on_every_plant():
    env = CellEnv()
    cycles = []
    for seed in range(60):
        obs, info = env.reset(seed=10_000 + seed)
        while info["reason"] == "running":
            obs, _, _, _, info = env.step(env.to_action(env.expert(obs)))
        assert info["success"], info
        assert info["limited"] == 0, "the reference stays inside the limits by itself"
        assert info["position_error_m"] <= 0.005
        cycles.append(info["time_s"])
    assert np.mean(cycles) < 1.5
    env.close()


@pytest.mark.parametrize("engine", engine_names())
@pytest.mark.parametrize("arm", [name for name in arm_names() if load_arm(name).chain.n >= 6])
def test_every_arm_reaches_on_every_engine(arm, engine):
    env = CellEnv(arm=arm, engine=engine)
    for seed in range(3):
        obs, info = env.reset(seed=20_000 + seed)
        while info["reason"] == "running":
            obs, _, _, _, info = env.step(env.to_action(env.expert(obs)))
        assert info["success"], info
        assert info["limited"] == 0
    env.close()


def test_goals_that_are_reached_badly_are_drawn_anew():
    arm, scene = load_arm("ur3e"), load_scene("ur3e-reach")
    task, rng = Reach(arm, scene), np.random.default_rng(0)
    drawn = np.array([condition.condition(arm.chain, task.branch.solve(pose(task._draw(rng)))) for _ in range(100)])
    kept = [condition.condition(arm.chain, task.branch.solve(pose(task.sample_goal(rng)))) for _ in range(100)]
    assert drawn.max() > 17.0 > 16.5 >= max(kept), "the guard slows an arm down from 17 on"
    far = Reach(arm, msgspec.structs.replace(scene, regions={"goals": Region((2.0, 2.0, 2.0), (3.0, 3.0, 3.0))}))
    with pytest.raises(ConfigError, match="'ur3e' reaches none of 1000 poses"):
        far.sample_goal(rng)


def test_slow_joints_get_smaller_actions_and_the_ur5e_keeps_its_own(task):
    iiwa = Reach(load_arm("iiwa14"), load_scene("iiwa14-reach"))
    assert iiwa.contract.action.high[0] <= 0.9 * 0.04 * load_arm("iiwa14").limits.array[DQ].min() + 5e-4
    assert task.contract.action.high == (0.06,) * 6


def test_no_way_of_failing_beats_standing_still_and_none_beats_the_expert():
    env = CellEnv()
    policies = {
        "expert": lambda obs: env.to_action(env.expert(obs)),
        "nothing": lambda obs: np.zeros((3, 6)),
        "flight": lambda obs: np.ones((3, 6)),
    }
    returns = {}
    for name, policy in policies.items():
        obs, info = env.reset(seed=4)
        total = 0.0
        while info["reason"] == "running":
            obs, reward, _, _, info = env.step(policy(obs))
            total += reward
        returns[name] = total
    assert info["reason"] == "guard: WORKSPACE"
    assert returns["expert"] > 0.0 > returns["nothing"] > returns["flight"]
    env.close()


def test_two_plants_are_not_alike_and_are_reported():
    env = CellEnv()
    plants = [env.reset(seed=seed)[1]["plant"] for seed in range(20)]
    assert len({plant["stiffness"] for plant in plants}) == 20
    assert all(0.0 <= plant["latency_s"] <= env.contract.rate.trained_latency_s for plant in plants)
    assert env.reset(seed=3)[1]["plant"] == plants[3]
    env.close()


def test_a_cell_without_a_box_is_refused():
    with pytest.raises(ConfigError, match="'goals'"):
        Reach(ARM, Scene(arms=(ArmMount("ur5e"),)))


def test_requirements_name_what_was_trained(task):
    assert task.requirements.control_hz == (125.0, 1000.0)
    assert task.requirements.max_latency_s == task.contract.rate.trained_latency_s
    assert msgspec.json.decode(msgspec.json.encode(task.requirements), type=type(task.requirements))
