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
from robostral.errors import ContractMismatch, UnknownName
from robostral.jit import kernel
from robostral.kinematics.codes import BAD_SHAPE, NOT_FINITE, OK
from robostral.kinematics.fk import tcp_kernel
from robostral.signals import FIELDS, Signals, knots_kernel, obs_field, observe_kernel

CHAIN = load_arm("ur5e").chain
REACH = ("q", "dq", "goal_position", "goal_rot6d", "goal_error")
EVERY = tuple(FIELDS)


def contract(*names: str, chain: Chain = CHAIN, **changes: Any) -> Contract:
    n = chain.n
    action = Action("joint_position_delta", (-0.06,) * n, (0.06,) * n, "rad", "joint", 3, 0.04, 0.12)
    fields: dict[str, Any] = {
        "task": "reach",
        "devices": (Device("arm", chain.joint_names, (1,) * n),),
        "obs": tuple(obs_field(name, n) for name in names),
        "action": action,
        "rate": Rate(25.0, 0.02),
    }
    return Contract(**(fields | changes))


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


def observe(signals: Signals, q: np.ndarray, external: np.ndarray) -> tuple[int, np.ndarray]:
    out = np.full(signals.obs_size, np.nan, np.float32)
    return signals.observe(q, q + 10.0, q + 20.0, external, out), out


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
    forward, backward = Signals(contract(*EVERY), CHAIN), Signals(contract(*EVERY[::-1]), CHAIN)
    q, external = np.linspace(-1, 1, 6), np.array([0.4, -0.2, 0.3, 1.0, 0.0, 0.0, 0.0])
    _, a = observe(forward, q, external)
    _, b = observe(backward, q, external)
    parts = np.split(a, forward.plan[:-1, 2])
    np.testing.assert_array_equal(np.concatenate(parts[::-1]), b)


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


def test_kernels_run_inside_kernels():
    @kernel
    def step(plan, model, bounds, q, external, obs, chunk, knots):
        return observe_kernel(plan, model, q, q, q, external, obs) + knots_kernel(bounds, 1.0, chunk, q, knots)

    signals, obs, knots = Signals(contract("q", "tcp_position"), CHAIN), np.empty(9, np.float32), np.empty((3, 6))
    q, chunk = np.linspace(-1, 1, 6), np.zeros((3, 6), np.float32)
    assert step(signals.plan, CHAIN.model, signals.bounds, q, np.empty(0), obs, chunk, knots) == OK
    np.testing.assert_array_equal(knots, np.tile(q, (3, 1)))


def test_kernels_allocate_nothing():
    @kernel
    def repeat(times, plan, model, bounds, q, external, obs, chunk, knots):
        for _ in range(times):
            observe_kernel(plan, model, q, q, q, external, obs)
            knots_kernel(bounds, 1.0, chunk, q, knots)

    def allocations(times: int) -> int:
        before = rtsys.get_allocation_stats().alloc
        repeat(times, signals.plan, CHAIN.model, signals.bounds, q, np.ones(7), obs, chunk, knots)
        return rtsys.get_allocation_stats().alloc - before

    signals, q = Signals(contract(*EVERY), CHAIN), np.linspace(-1, 1, 6)
    obs, chunk, knots = np.empty(signals.obs_size, np.float32), np.zeros((3, 6), np.float32), np.empty((3, 6))
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
    q = obs_field("q", 6)
    with pytest.raises(UnknownName, match=r"'goal_eror'; did you mean 'goal_error'"):
        Signals(contract("q", obs=(msgspec.structs.replace(q, name="goal_eror"),)), CHAIN)
    with pytest.raises(ContractMismatch, match=r"q\.unit: deg != rad"):
        Signals(contract("q", obs=(msgspec.structs.replace(q, unit="deg"),)), CHAIN)
    with pytest.raises(ContractMismatch, match=r"q.shape: \(7,\) != \(6,\)"):
        Signals(contract("q", obs=(msgspec.structs.replace(q, shape=(7,)),)), CHAIN)


def test_actions_that_need_another_law_are_refused():
    twist = msgspec.structs.replace(contract("q").action, kind="tcp_twist")
    with pytest.raises(ContractMismatch, match="tcp_twist is none of joint_position_delta, joint_velocity"):
        Signals(contract("q", action=twist), CHAIN)
