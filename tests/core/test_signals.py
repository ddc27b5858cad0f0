"""Signals: what the policy sees is what the formulas say; what it does accumulates and stays bounded."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numba.core.runtime import _nrt_python, rtsys

from robostral.arm import Chain, load_arm
from robostral.contract import Action, Contract, Device, Rate
from robostral.control.knots import knots_kernel, pose_knots_kernel
from robostral.errors import ContractMismatch, UnknownName
from robostral.jit import kernel
from robostral.kinematics.codes import BAD_SHAPE, NOT_FINITE, OK
from robostral.kinematics.fk import tcp_kernel
from robostral.kinematics.jacobian import jacobian
from robostral.kinematics.lm import ik_workspace
from robostral.signals import FIELDS, Signals, joint_units, obs_field, observe_kernel

CHAIN = load_arm("ur5e").chain
REACH = ("q", "dq", "goal_position", "goal_rot6d", "goal_error")
EVERY = tuple(FIELDS)
SENSORS = np.arange(10.0)
GRIPPER, CUP = Device("gripper", ("gap",), (1,)), Device("cup", ("suction",), (1,))
TCP_DELTA = Action(
    "tcp_pose_delta", (-0.02,) * 3 + (-0.1,) * 3, (0.02,) * 3 + (0.1,) * 3, "m, rad", "base", 3, 0.04, 0.12
)


def contract(*names: str, chain: Chain = CHAIN, **changes: Any) -> Contract:
    n = chain.n
    action = Action("joint_position_delta", (-0.06,) * n, (0.06,) * n, "rad", "joint", 3, 0.04, 0.12)
    fields: dict[str, Any] = {
        "task": "reach",
        "devices": (Device("arm", chain.joint_names, (1,) * n),),
        "obs": tuple(obs_field(name, chain) for name in names),
        "action": action,
        "rate": Rate(25.0, 0.02),
    }
    return Contract(**(fields | changes))


def with_tools(*names: str) -> Contract:
    """Return a contract with two tools, the second of which is a vacuum cup."""
    plain = contract("q")
    action = msgspec.structs.replace(
        plain.action, low=(*plain.action.low, 0.0, 0.0), high=(*plain.action.high, 0.08, 1.0)
    )
    obs = tuple(obs_field(name, CHAIN, tools=2) for name in names)
    return msgspec.structs.replace(plain, devices=(*plain.devices, GRIPPER, CUP), action=action, obs=obs)


def with_poses(chain: Chain = CHAIN) -> Contract:
    """Return a contract whose actions move the tcp."""
    posture = tuple(load_arm("panda" if chain.n == 7 else "ur5e").home)
    return contract("q", chain=chain, action=msgspec.structs.replace(TCP_DELTA, posture=posture))


def rodrigues(rotvec: np.ndarray) -> np.ndarray:
    angle = float(np.linalg.norm(rotvec))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = rotvec / angle
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K


def quat(rotvec: np.ndarray) -> np.ndarray:
    angle = float(np.linalg.norm(rotvec))
    axis = rotvec / angle if angle else np.zeros(3)
    return np.array([np.cos(angle / 2), *(np.sin(angle / 2) * axis)])


def observe(
    signals: Signals, q: np.ndarray, external: np.ndarray, sensors: np.ndarray = SENSORS
) -> tuple[int, np.ndarray]:
    out = np.full(signals.obs_size, np.nan, np.float32)
    return signals.observe(q, q + 10.0, q + 20.0, external, out, sensors), out


def test_reach_has_27_numbers_in_contract_order():
    signals = Signals(contract(*REACH), CHAIN)
    assert (signals.obs_size, signals.external_size) == (27, 7)
    q, goal, turn = np.linspace(-1, 1, 6), np.array([0.4, -0.2, 0.3]), np.array([0.3, -0.5, 0.7])
    code, out = observe(signals, q, np.array([*goal, *quat(turn)]))
    assert code == OK
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out[:12], np.float32([*q, *(q + 10.0)]))
    np.testing.assert_allclose(out[12:15], goal, atol=1e-7)
    np.testing.assert_allclose(out[15:21], rodrigues(turn)[:, :2].T.ravel(), atol=1e-6)


def test_the_error_of_the_command_is_that_of_an_arm_that_stands_there():
    signals = Signals(contract("goal_error", "goal_error_c"), CHAIN)
    q, external = np.linspace(-1, 1, 6), np.array([0.4, -0.2, 0.3, *quat(np.array([0.3, -0.5, 0.7]))])
    code, out = observe(signals, q, external)
    assert code == OK
    np.testing.assert_array_equal(out[6:], observe(signals, q + 20.0, external)[1][:6])


vectors = hnp.arrays(float, 3, elements=st.floats(-1.8, 1.8))


@given(q=hnp.arrays(float, 6, elements=st.floats(-3, 3)), p_goal=vectors, turn=vectors)
def test_goal_error_moves_the_tcp_onto_the_goal(q, p_goal, turn):
    signals = Signals(contract("goal_error", "tcp_position", "tcp_rot6d"), CHAIN)
    code, out = observe(signals, q, np.array([*p_goal, *(3.0 * quat(turn))]))
    T = np.empty((4, 4))
    tcp_kernel(CHAIN.model, q, T)
    assert code == OK
    np.testing.assert_allclose(out[6:9], T[:3, 3], atol=1e-6)
    np.testing.assert_allclose(out[9:15], T[:3, :2].T.ravel(), atol=1e-6)
    np.testing.assert_allclose(T[:3, 3] + out[:3], p_goal, atol=1e-6)
    np.testing.assert_allclose(rodrigues(out[3:6].astype(float)) @ T[:3, :3], rodrigues(turn), atol=2e-6)
    assert np.linalg.norm(out[3:6]) <= np.pi + 1e-6


def test_every_field_is_where_the_contract_puts_it():
    forward, backward = Signals(with_tools(*EVERY), CHAIN), Signals(with_tools(*EVERY[::-1]), CHAIN)
    assert (forward.external_size, forward.sensor_size) == (15, 10)
    q, pose = np.linspace(-1, 1, 6), [0.4, -0.2, 0.3, 1.0, 0.0, 0.0, 0.0]
    external = np.array([*pose, *(0.5 * np.array(pose)), 0.7])
    _, a = observe(forward, q, external)
    _, b = observe(backward, q, external)
    parts = np.split(a, forward.plan[:-1, 2])
    np.testing.assert_array_equal(np.concatenate(parts[::-1]), b)
    np.testing.assert_array_equal(np.concatenate(parts[EVERY.index("tool") :]), np.arange(10.0))
    assert parts[EVERY.index("belt")] == np.float32(0.7)


def test_external_signals_stand_one_behind_the_other_and_only_where_they_are_used():
    pose = np.array([0.4, -0.2, 0.3, 1.0, 0.0, 0.0, 0.0])
    for names, size in (("part_position", 7), ("belt", 1), ("goal_error", 7), ("part_to_goal", 14)):
        assert Signals(contract("q", names), CHAIN).external_size == size
    _, out = observe(Signals(contract("part_position", "belt"), CHAIN), np.zeros(6), np.array([*pose, 0.25]))
    np.testing.assert_array_equal(out, np.float32([0.4, -0.2, 0.3, 0.25]))


@given(q=hnp.arrays(float, 6, elements=st.floats(-3, 3)), p_goal=vectors, turn=vectors, p_part=vectors, tilt=vectors)
def test_the_part_comes_by_two_ways_to_the_goal(q, p_goal, turn, p_part, tilt):
    signals = Signals(contract("part_error", "part_to_goal", "goal_error", "tcp_rot6d"), CHAIN)
    code, out = observe(signals, q, np.array([*p_goal, *quat(turn), *p_part, *quat(tilt)]))
    assert code == OK
    part, onwards, whole = out[:6].astype(float), out[6:12].astype(float), out[12:18].astype(float)
    np.testing.assert_allclose(part[:3] + onwards[:3], whole[:3], atol=1e-6)
    np.testing.assert_allclose(rodrigues(onwards[3:]) @ rodrigues(part[3:]), rodrigues(whole[3:]), atol=4e-6)


@given(q=hnp.arrays(float, 6, elements=st.floats(-3, 3)), dq=hnp.arrays(float, 6, elements=st.floats(-1, 1)))
def test_the_tcps_twist_is_its_motion_over_time(q, dq):
    signals, out, h = Signals(contract("tcp_twist"), CHAIN), np.empty(6, np.float32), 1e-6
    assert signals.observe(q, dq, q, np.empty(0), out) == OK
    before, after = np.empty((4, 4)), np.empty((4, 4))
    tcp_kernel(CHAIN.model, q - h * dq, before)
    tcp_kernel(CHAIN.model, q + h * dq, after)
    np.testing.assert_allclose(out[:3], (after - before)[:3, 3] / (2 * h), atol=1e-5)
    spin = (after - before)[:3, :3] / (2 * h) @ after[:3, :3].T
    np.testing.assert_allclose(out[3:], [spin[2, 1], spin[0, 2], spin[1, 0]], atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e39])
def test_what_is_not_a_number_is_said(bad):
    signals = Signals(contract(*REACH), CHAIN)
    goal = np.array([0.4, 0.0, 0.3, 1.0, 0.0, 0.0, 0.0])
    assert observe(signals, np.array([0, 0, bad, 0, 0, 0.0]), goal)[0] == NOT_FINITE
    assert observe(signals, np.zeros(6), np.array([bad, *goal[1:]]))[0] == NOT_FINITE
    assert observe(signals, np.zeros(6), np.zeros(7))[0] == NOT_FINITE  # a quaternion without direction


def test_wrong_sizes_write_nothing():
    signals, out = Signals(contract(*REACH), CHAIN), np.full(27, 7.0, np.float32)
    q, goal = np.zeros(6), np.array([0.4, 0.0, 0.3, 1.0, 0.0, 0.0, 0.0])
    assert signals.observe(q[:5], q, q, goal, out) == BAD_SHAPE
    assert signals.observe(q, q, q, goal[:6], out) == BAD_SHAPE
    assert signals.observe(q, q, q, goal, out[:26]) == BAD_SHAPE
    assert np.all(out == 7.0)
    fed, out = Signals(with_tools("tool", "wrench"), CHAIN), np.full(8, 7.0, np.float32)
    assert fed.sensor_size == 8
    assert fed.observe(q, q, q, np.empty(0), out, np.zeros(7)) == BAD_SHAPE
    assert np.all(out == 7.0)


def test_knots_accumulate_from_the_seam_and_clip_each_step():
    signals, knots = Signals(contract("q"), CHAIN), np.empty((3, 6))
    chunk = np.zeros((3, 6), np.float32)
    chunk[:, 0], chunk[:, 1], chunk[1, 2] = 0.05, 0.5, -9.0
    seam = np.linspace(-1, 1, 6)
    assert signals.knots(chunk, seam, knots) == OK
    np.testing.assert_allclose(knots[:, 0] - seam[0], [0.05, 0.10, 0.15], atol=1e-8)
    np.testing.assert_allclose(knots[:, 1] - seam[1], [0.06, 0.12, 0.18], atol=1e-12)
    np.testing.assert_allclose(knots[:, 2] - seam[2], [0.0, -0.06, -0.06], atol=1e-12)
    np.testing.assert_array_equal(knots[:, 3:], np.tile(seam[3:], (3, 1)))


@given(hnp.arrays(np.float32, (3, 6), elements=st.floats(width=32)))
def test_knots_stay_inside_bounds_or_are_refused(chunk):
    signals, knots = Signals(contract("q"), CHAIN), np.empty((3, 6))
    code = signals.knots(chunk, np.zeros(6), knots)
    assert code == (OK if np.isfinite(chunk).all() else NOT_FINITE)
    steps = np.diff(knots, axis=0, prepend=0.0)
    assert np.all(np.abs(steps[np.isfinite(steps)]) <= 0.06 + 1e-12)
    assert np.isfinite(knots).all() == (code == OK)


def test_velocities_are_steps_over_time():
    velocity = msgspec.structs.replace(contract("q").action, kind="joint_velocity", unit="rad/s")
    signals, knots = Signals(contract("q", action=velocity), CHAIN), np.empty((3, 6))
    assert signals.knots(np.full((3, 6), 0.05, np.float32), np.zeros(6), knots) == OK
    np.testing.assert_allclose(knots[:, 0], 0.05 * 0.04 * np.arange(1, 4), atol=1e-9)


@pytest.mark.parametrize("name", ["ur5e", "panda"])
def test_tcp_deltas_accumulate_from_the_pose_of_the_seam(name):
    chain, rng = load_arm(name).chain, np.random.default_rng(0)
    signals, knots, T = Signals(with_poses(chain), chain), np.empty((3, chain.n)), np.empty((4, 4))
    for _ in range(50):
        seam = load_arm(name).home + rng.uniform(-0.2, 0.2, chain.n)
        chunk = rng.uniform(-1.2, 1.2, (3, 6)).astype(np.float32) * signals.bounds[1].astype(np.float32)
        assert signals.knots(chunk, seam, knots) == OK
        tcp_kernel(chain.model, seam, T)
        p, R = T[:3, 3].copy(), T[:3, :3].copy()
        for delta, q in zip(np.clip(chunk.astype(float), *signals.bounds), knots, strict=True):
            p, R = p + delta[:3], rodrigues(delta[3:]) @ R
            tcp_kernel(chain.model, q, T)
            np.testing.assert_allclose(T[:3, 3], p, atol=1e-5)
            np.testing.assert_allclose(T[:3, :3], R, atol=6e-5)
        assert np.abs(knots - seam).max() < 0.8, "joints stay near"


def test_standing_still_pulls_only_the_null_space_towards_the_posture():
    arm = load_arm("panda")
    signals, knots = Signals(with_poses(arm.chain), arm.chain), np.empty((3, 7))
    idle = np.linalg.svd(jacobian(arm.chain, arm.home))[2][-1]
    q = arm.home + 0.4 * idle
    T, T_after = np.empty((4, 4)), np.empty((4, 4))
    tcp_kernel(arm.chain.model, q, T)
    distance = [np.linalg.norm(q - arm.home)]
    for _ in range(60):
        assert signals.knots(np.zeros((3, 6), np.float32), q, knots) == OK
        q = knots[-1].copy()
        distance.append(np.linalg.norm(q - arm.home))
    tcp_kernel(arm.chain.model, q, T_after)
    np.testing.assert_allclose(T_after, T, atol=1e-4)
    assert np.all(np.diff(distance) < 1e-6)
    assert distance[-1] < 0.5 * distance[0]
    assert signals.knots(np.full((3, 6), np.nan, np.float32), q, knots) == NOT_FINITE
    assert signals.knots(np.zeros((3, 7), np.float32), q, knots) == BAD_SHAPE


def test_tools_are_commanded_absolutely_and_inside_their_bounds():
    signals, knots = Signals(with_tools("q"), CHAIN), np.empty((3, 6))
    chunk = np.zeros((3, 8), np.float32)
    chunk[:, 6], chunk[:, 7] = (0.05, 0.2, -1.0), (0.5, 2.0, 1.0)
    assert signals.knots(chunk, np.zeros(6), knots) == OK
    np.testing.assert_array_equal(knots, 0.0)
    np.testing.assert_allclose(
        [signals.tool_set_points(row) for row in chunk], [[0.05, 0.5], [0.08, 1.0], [0.0, 1.0]], atol=1e-7
    )


def test_kernels_run_inside_kernels():
    @kernel
    def step(plan, model, bounds, q, external, J, obs, chunk, knots):
        seen = observe_kernel(plan, model, q, q, q, external, external, J, obs)
        return seen + knots_kernel(bounds, 1.0, chunk, q, knots)

    signals, obs, knots = Signals(contract("q", "tcp_position"), CHAIN), np.empty(9, np.float32), np.empty((3, 6))
    q, chunk, J = np.linspace(-1, 1, 6), np.zeros((3, 6), np.float32), np.empty((6, 6))
    assert step(signals.plan, CHAIN.model, signals.bounds, q, np.empty(0), J, obs, chunk, knots) == OK
    np.testing.assert_array_equal(knots, np.tile(q, (3, 1)))


def test_kernels_allocate_nothing():
    @kernel
    def repeat(times, plan, model, bounds, posture, q, external, J, obs, chunk, T, turn, work, knots):
        for _ in range(times):
            observe_kernel(plan, model, q, q, q, external, external, J, obs)
            knots_kernel(bounds, 1.0, chunk, q, knots)
            pose_knots_kernel(model, bounds, posture, chunk, q, T, turn, work, knots)

    def allocations(times: int) -> int:
        before = rtsys.get_allocation_stats().alloc
        repeat(times, signals.plan, CHAIN.model, signals.bounds, q, q, np.ones(15), J, obs, chunk, *work, knots)
        return rtsys.get_allocation_stats().alloc - before

    signals, q, J = Signals(with_tools(*EVERY), CHAIN), np.linspace(-1, 1, 6), np.empty((6, 6))
    obs, chunk, knots = np.empty(signals.obs_size, np.float32), np.zeros((3, 8), np.float32), np.empty((3, 6))
    work = np.empty((4, 4)), np.empty((6, 3)), ik_workspace(CHAIN)
    _nrt_python.memsys_enable_stats()
    try:
        allocations(1)
        assert allocations(1) == allocations(1000)
    finally:
        _nrt_python.memsys_disable_stats()


def test_another_joint_order_is_refused_with_both_orders():
    turned = Device("arm", CHAIN.joint_names[::-1], (1,) * 6)
    with pytest.raises(ContractMismatch, match=r"\[wrist_3_joint, .*\] != \[shoulder_pan_joint, .*\]"):
        Signals(contract("q", devices=(turned,)), CHAIN)
    flipped = Device("arm", CHAIN.joint_names, (1, 1, -1, 1, 1, 1))
    with pytest.raises(ContractMismatch, match="'elbow_joint' turns the other way"):
        Signals(contract("q", devices=(flipped,)), CHAIN)


def test_unknown_and_redefined_fields_are_refused():
    q = obs_field("q", CHAIN)
    with pytest.raises(UnknownName, match=r"'goal_eror'; did you mean 'goal_error'"):
        Signals(contract("q", obs=(msgspec.structs.replace(q, name="goal_eror"),)), CHAIN)
    with pytest.raises(ContractMismatch, match=r"q\.unit: deg != rad"):
        Signals(contract("q", obs=(msgspec.structs.replace(q, unit="deg"),)), CHAIN)
    with pytest.raises(ContractMismatch, match=r"q.shape: \(7,\) != \(6,\)"):
        Signals(contract("q", obs=(msgspec.structs.replace(q, shape=(7,)),)), CHAIN)


def test_joints_that_slide_are_in_metres_and_a_contract_says_so_joint_by_joint():
    chain = load_arm("wafer_rtz").chain
    assert joint_units(CHAIN) == obs_field("q", CHAIN).unit == "rad"
    assert joint_units(chain) == obs_field("q_c", chain).unit == "m, rad, m"
    assert obs_field("dq", chain).unit == "m/s, rad/s, m/s"
    sliding = msgspec.structs.replace(contract("q", chain=chain).action, unit="m, rad, m")
    shown = str(contract("q", chain=chain, action=sliding))
    assert [line.split()[-1] for line in shown.splitlines() if "0.06" in line] == ["m", "rad", "m"]


def test_actions_that_need_another_law_are_refused():
    twist = msgspec.structs.replace(contract("q").action, kind="tcp_twist")
    with pytest.raises(
        ContractMismatch, match="tcp_twist is none of joint_position_delta, joint_velocity, tcp_pose_delta"
    ):
        Signals(contract("q", action=twist), CHAIN)


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"devices": (Device("arm", CHAIN.joint_names, (1,) * 6), Device("hand", ("thumb",), (1,)))}, "'thumb'"),
        ({"devices": (Device("arm", CHAIN.joint_names, (1,) * 6), GRIPPER)}, "6 numbers for 6 joints and 1 tools"),
        ({"action": TCP_DELTA}, "posture: 0 numbers for 6 joints"),
        ({"obs": (obs_field("tool", CHAIN),)}, "no device but the arm"),
    ],
)
def test_tools_and_poses_that_do_not_fit_are_refused(changes, fact):
    with pytest.raises(ContractMismatch, match=fact):
        Signals(contract("q", **changes), CHAIN)
