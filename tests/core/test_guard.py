"""Laws of the command guard, each against the independent oracle or against plain arithmetic."""

import math
import sys

import numpy as np
import pytest
from hostile import ARM, PANDA, START, limits_of, soft
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from robostral import guard as guards
from robostral.arm.limits import Limits
from robostral.errors import ConfigError
from robostral.guard import Guard, Reason, Workspace
from robostral.guard import table as at
from robostral.guard.hostile import attack, moving, poison, stop_ticks
from robostral.guard.stop import stop_step
from robostral.kinematics.fk import tcp_kernel
from robostral.oracle import count_violations

FloatArray = NDArray[np.float64]

UR = ARM.limits.array
BOX = Workspace((-0.8, -0.6, 0.0), (0.8, 0.6, 0.9))
CAMPAIGNS = [
    ("ur5e at 500 Hz", UR, 0.002, None, 1e3, 120_000),
    ("ur5e at 1 kHz, box, tcp 1 m/s", UR, 0.001, BOX, 1.0, 120_000),
    ("panda at 1 kHz", PANDA, 0.001, None, 1e3, 120_000),
    ("panda at 1 kHz, box, tcp 1 m/s", PANDA, 0.001, BOX, 1.0, 60_000),
    ("ur5e with soft jerk at 500 Hz, box, tcp 0.5 m/s", soft(), 0.002, BOX, 0.5, 60_000),
    ("ur5e at 250 Hz, box, tcp 1.5 m/s", UR, 0.004, BOX, 1.5, 50_000),
]
SPECIALS = [
    *(math.nan, -math.nan, math.inf, -math.inf, 1e308, -1e308),
    *(sys.float_info.max, 1e154, -1e30, 1e9, 90.0, -180.0),
]


def armed(
    dt: float = 0.002, workspace: Workspace | None = None, array: FloatArray = UR, tcp_speed: float = 1e3
) -> Guard:
    guard = Guard(ARM.chain, limits_of(array, tcp_speed), dt, workspace)
    assert guard.reset(START) == Reason.PASSED
    return guard


def in_motion(guard: Guard, velocity: FloatArray) -> None:
    """Bring the guard to a constant velocity [rad/s] within half a second, straight in joint space."""
    ramp = round(0.5 / guard.dt)
    for k in range(ramp + 60):
        share = 0.5 - 0.5 * math.cos(math.pi * min(k + 1, ramp) / ramp)
        assert guard.step(guard.q_c + share * velocity * guard.dt) == Reason.PASSED


@pytest.mark.parametrize(
    ("array", "dt", "workspace", "tcp_speed", "steps"), [c[1:] for c in CAMPAIGNS], ids=[c[0] for c in CAMPAIGNS]
)
def test_hostile_steps_break_no_limit(
    array: FloatArray, dt: float, workspace: Workspace | None, tcp_speed: float, steps: int
) -> None:
    guard = armed(dt, workspace, array, tcp_speed)
    log, codes, starts = np.zeros((steps, 6)), np.zeros(steps, np.int64), np.zeros(steps, np.int64)
    segments, impossible, room, fastest = attack(*guard.tables, np.random.default_rng(7), log, codes, starts)
    found = count_violations(log, dt, array, starts[:segments].tolist())
    assert {name: finding["violations"] for name, finding in found.items()} == dict.fromkeys(found, 0)
    assert impossible == 0
    assert room >= 0.0
    assert fastest <= 1.0
    assert found["dddq"]["max_ratio"] > 0.4, "the campaign was not hostile"
    assert set(codes) <= {Reason.PASSED, Reason.LIMITED, Reason.TCP_SPEED, Reason.WORKSPACE}
    assert (Reason.WORKSPACE in codes) == (workspace is not None)


@pytest.mark.parametrize(("array", "dt"), [(UR, 0.002), (PANDA, 0.001)])
def test_poisoned_commands_never_come_out(array: FloatArray, dt: float) -> None:
    guard = armed(dt, None, array)
    assert poison(*guard.tables, np.array(SPECIALS), 100_001, 6) == (0, 0)
    assert guard.counts[Reason.NOT_FINITE] + guard.counts[Reason.JUMP] == 100_001


@pytest.mark.parametrize("special", SPECIALS)
def test_one_bad_field_rejects_the_whole_command(special: float) -> None:
    for field in range(6):
        guard = armed()
        in_motion(guard, np.full(6, 0.3))
        before, q_d = guard.q_c.copy(), guard.q_c.copy()
        q_d[field] = special
        code = guard.step(q_d)
        assert code == (Reason.JUMP if math.isfinite(special) else Reason.NOT_FINITE) == guard.reason
        assert (guard.q_c > before).all(), "the stop goes on along the path"
        assert (guard.dq_c < 0.3).all(), "and has begun"


def test_a_set_point_of_another_shape_or_type_is_rejected() -> None:
    wrong = (
        np.zeros(5),
        np.zeros(7),
        np.zeros((6, 1)),
        START.astype(np.float32),
        START.astype(complex),
        START.tolist(),
        None,
        np.empty(0),
    )
    for q_d in wrong:
        guard = armed()
        assert guard.step(q_d) == Reason.SIZE  # type: ignore[arg-type]
        assert guard.reset(q_d) == Reason.SIZE  # type: ignore[arg-type]
        assert armed().measure(q_d) == Reason.TRACKING  # type: ignore[arg-type]
        assert armed().command(q_d) == Reason.COMMAND  # type: ignore[arg-type]


@pytest.mark.parametrize(("array", "dt"), [(UR, 0.002), (UR, 0.001), (PANDA, 0.001), (soft(), 0.002)])
def test_feasible_commands_pass_bit_for_bit(array: FloatArray, dt: float) -> None:
    guard, rng = armed(dt, None, array), np.random.default_rng(3)
    A, D, V = (guard.table[row, :6] for row in (at.A, at.D, at.V))
    for k in range(3000):
        w, b = guard.state[at.W, :6], guard.state[at.B, :6]
        back = np.array([stop_step(*figures) for figures in zip(w, b, 0.99 * A, 0.99 * D, strict=True)])
        x = np.clip(b + rng.uniform(-0.99, 0.99, 6) * D, -0.99 * A, 0.99 * A) if k % 400 < 300 else back
        x = np.where(np.abs(w + x) > 0.1 * V, back, x)
        q_d = guard.q_c + (w + x)
        assert guard.step(q_d) == Reason.PASSED
        assert (guard.q_c == q_d).all()
        assert guard.limited == 0


@pytest.mark.parametrize(
    ("row", "factor", "bit", "order"),
    [
        (2, 0.05, guards.LIMITED_VELOCITY, 1),
        (3, 0.05, guards.LIMITED_ACCELERATION, 2),
        (4, 0.01, guards.LIMITED_JERK, 3),
    ],
)
def test_each_limit_alone_binds_exactly(row: int, factor: float, bit: int, order: int) -> None:
    array = UR.copy()
    array[4] *= 100.0
    array[3] *= 10.0
    array[row] = UR[row] * factor
    guard, log, bits = armed(0.002, None, array), [START], 0
    for _ in range(150):
        assert guard.step(guard.q_c + 0.003) == Reason.LIMITED
        log.append(guard.q_c.copy())
        bits |= guard.limited
        if row != 2 and guard.limited & bit:
            break
    reached = np.abs(np.diff(np.vstack([START] * 3 + log), n=order, axis=0)).max() / 0.002**order
    assert bits & bit
    assert reached == pytest.approx(array[row, 0], rel=2e-6)


def test_position_limit_binds_within_a_micrometre_of_the_figure() -> None:
    guard, q_d = armed(), START.copy()
    for _ in range(4000):
        q_d[:] = guard.q_c
        q_d[2] += 0.006
        assert guard.step(q_d) <= Reason.LIMITED
    assert guard.limited & guards.LIMITED_POSITION
    assert 0.0 <= math.pi - guard.q_c[2] < 1e-6


def test_start_pose() -> None:
    guard = Guard(ARM.chain, limits_of(UR), 0.002)
    assert guard.reason == guard.step(START) == Reason.START_POSE, "nothing moves before a pose was given"
    assert guard.brake() == 1
    assert guard.command(START) == Reason.COMMAND
    assert guard.command(guard.q_c) == Reason.COMMAND, "a command that is no number never goes out"
    beyond = START.copy()
    beyond[2] = math.pi + 1e-4
    assert guard.reset(beyond) == Reason.START_POSE == guard.step(START)
    beyond[2] = math.pi
    assert guard.reset(beyond) == Reason.PASSED
    assert guard.reset(np.where(np.arange(6) == 3, math.nan, START)) == Reason.NOT_FINITE
    assert guard.reset(START) == Reason.PASSED
    assert guard.step(START + 0.021) == Reason.START_POSE, "the first set-point is where the arm stands"
    assert guard.reset(START) == Reason.PASSED
    assert guard.state[at.META, at.FRESH] == 1.0
    np.testing.assert_array_equal(guard.state[at.TCP, :16], guard.state[at.TCP_NEXT, :16])
    assert guard.step(START + 0.019) == Reason.LIMITED
    assert guard.state[at.META, at.FRESH] == 0.0
    np.testing.assert_array_equal(guard.state[at.TCP, :16], guard.state[at.TCP_NEXT, :16])
    assert guard.step(guard.q_c + 0.021) == Reason.LIMITED


def test_an_arm_at_the_very_limit_of_a_joint_may_move() -> None:
    """Also where the stop has to be simulated, beside a wall."""
    T, pose = np.zeros((4, 4)), START.copy()
    pose[5] = UR[1, 5]
    tcp_kernel(ARM.chain.model, pose, T)
    guard = Guard(ARM.chain, ARM.limits, 0.002, Workspace((-2, -2, -2), (T[0, 3] + 0.0021, 2, 2)))
    assert guard.reset(pose) == Reason.PASSED
    for _ in range(50):
        assert guard.step(guard.q_c + np.array([1e-6, -3e-6, 0, 0, 0, 0])) <= Reason.LIMITED
    for _ in range(50):
        assert guard.step(guard.q_c - np.array([0, 0, 0, 0, 0, 1e-4])) <= Reason.LIMITED
    assert guard.q_c[5] < pose[5] - 1e-3


def test_a_far_set_point_is_no_set_point() -> None:
    guard = armed()
    assert guard.step(START) == Reason.PASSED
    assert guard.step(guard.q_c + 9.9 * math.pi * 0.002) == Reason.LIMITED
    assert guard.step(np.degrees(guard.q_c)) == Reason.JUMP


def test_workspace_holds_for_pose_candidate_and_stop() -> None:
    T = np.zeros((4, 4))
    tcp_kernel(ARM.chain.model, START, T)
    x = T[0, 3]
    wall = Workspace((-2.0, -2.0, -2.0), (x + 0.05, 2.0, 2.0))
    assert (
        Guard(ARM.chain, ARM.limits, 0.002, Workspace((x + 0.01, -2, -2), (2, 2, 2))).reset(START) == Reason.WORKSPACE
    )
    guard, q_d = armed(0.002, wall), START.copy()
    reached, code = x, int(Reason.PASSED)
    for _ in range(3000):
        q_d[:] = guard.q_c
        q_d[1] += 0.0015
        code = guard.step(q_d)
        tcp_kernel(ARM.chain.model, guard.q_c, T)
        reached = max(reached, T[0, 3])
    assert code == Reason.WORKSPACE
    assert not guard.dq_c.any()
    assert x + 0.04 < reached <= x + 0.05, "the stop ends before the wall, but not long before it"


def test_tcp_speed_slows_and_goes_on() -> None:
    guard, T, way = armed(0.002, None, UR, 0.25), np.zeros((4, 4)), []
    for _ in range(400):
        assert guard.step(guard.q_c + 0.004 * np.array([1, 0, 0, 0, 0, 0.0])) in (Reason.PASSED, Reason.LIMITED)
        tcp_kernel(ARM.chain.model, guard.q_c, T)
        way.append(T[:3, 3].copy())
    speeds = np.linalg.norm(np.diff(way, axis=0), axis=1) / 0.002
    assert guard.limited & guards.LIMITED_TCP_SPEED
    assert speeds.max() <= 0.25
    assert speeds[200:].min() > 0.2


def test_a_joint_reaches_its_limit_while_the_tcp_is_slowed() -> None:
    """Slowing the tcp along the path must not take from a joint the deceleration that its limit asks for."""
    pose = START.copy()
    pose[5] = UR[1, 5] - 0.05
    guard = Guard(ARM.chain, limits_of(UR, 0.25), 0.002)
    assert guard.reset(pose) == Reason.PASSED
    bits = 0
    for _ in range(300):
        assert guard.step(guard.q_c + np.array([3e-3, 0, 0, 0, 0, 6e-4])) <= Reason.LIMITED
        bits |= guard.limited
    assert bits & guards.LIMITED_TCP_SPEED
    assert bits & guards.LIMITED_POSITION
    assert 0.0 <= UR[1, 5] - guard.q_c[5] < 1e-6


def test_tracking_error_brakes() -> None:
    for measured in (START + 0.31, START - 0.31, np.where(np.arange(6) == 2, math.nan, START)):
        guard = armed()
        assert guard.measure(START + 0.29) == Reason.PASSED
        assert guard.measure(measured) == Reason.TRACKING == guard.step(START)
        assert guard.measure(START) == Reason.TRACKING, "a stop keeps its reason"
        assert guard.counts[Reason.TRACKING] == 1


def test_only_the_passed_command_goes_out() -> None:
    guard = armed()
    in_motion(guard, np.full(6, 0.1))
    q_c = guard.q_c.copy()
    assert guard.command(q_c) == Reason.PASSED
    q_c[4] = np.nextafter(q_c[4], 2.0)
    assert guard.command(q_c) == Reason.COMMAND == guard.step(guard.q_c)
    assert guard.command(guard.q_c) == Reason.PASSED, "the stop itself may be written"


def test_a_stop_is_not_taken_back() -> None:
    guard = armed()
    in_motion(guard, np.full(6, 0.5))
    guard.brake()
    rest = 0
    while not rest:
        rest = guard.brake(Reason.AGE)
    q = guard.q_c.copy()
    assert guard.step(q) == guard.coast() == guard.reason == Reason.STOPPED
    assert guard.brake() == 1
    assert (guard.q_c == q).all()
    assert guard.counts[Reason.STOPPED] == 1
    assert guard.counts[Reason.AGE] == 0
    assert guard.reset(q) == guard.step(q) == Reason.PASSED


@pytest.mark.parametrize("reason", [0, 1, -5, 99])
def test_a_stop_always_has_a_reason(reason: int) -> None:
    guard = armed()
    guard.brake(reason)
    assert guard.reason == Reason.STOPPED


@pytest.mark.parametrize(("array", "dt"), [(UR, 0.002), (UR, 0.001), (PANDA, 0.001), (soft(), 0.002)])
def test_the_stop_stays_on_the_straight_path(array: FloatArray, dt: float) -> None:
    guard = armed(dt, None, array)
    velocity = np.array([0.5, -0.3, 0.2, 0.05, 0.0, 0.4])
    in_motion(guard, velocity)
    begin, direction = guard.q_c.copy(), velocity / np.linalg.norm(velocity)
    assert guard.brake() == 0
    assert (np.abs(guard.dq_c) < np.abs(velocity) - 1e-6 * (velocity != 0)).sum() == 5, "the first tick brakes"
    alone = max(v / a + a / j for v, a, j in zip(np.abs(velocity), array[3], array[4], strict=True))
    ticks = 1
    while not guard.brake():
        ticks += 1
        way = guard.q_c - begin
        assert np.abs(way - (way @ direction) * direction).max() < 1e-12
    assert ticks * dt <= 1.05 * alone + 2 * dt


def test_standstill_from_full_speed_in_the_time_of_the_table() -> None:
    guard, q_d = armed(), START.copy()
    for _ in range(300):
        q_d[:] = guard.q_c
        q_d[0] += math.pi * 0.002
        guard.step(q_d)
    assert guard.dq_c[0] == pytest.approx(math.pi, rel=1e-5)
    ticks = 1
    while not guard.brake():
        ticks += 1
    assert ticks * 0.002 <= 1.05 * 0.316


def test_a_joint_near_its_limit_stops_alone() -> None:
    """On the common path joint 2 would run over its limit: then each joint stops as fast as it may."""
    guard = armed()
    velocity = np.array([2.5, 0.0, 0.0, 0.0, 0.0, 0.0])
    in_motion(guard, velocity)
    q_d = guard.q_c.copy()
    guard.state[at.Q, 2] = q_d[2] = math.pi - 0.006
    for k in range(11):
        q_d = guard.q_c + velocity * 0.002
        q_d[2] = guard.q_c[2] + min(k, 10) * 0.00005
        assert guard.step(q_d) in (Reason.PASSED, Reason.LIMITED)
    while not guard.brake():
        assert guard.q_c[2] <= math.pi
    assert guard.state[at.META, at.PATH] == at.PATH_ALONE


def test_coasting_keeps_the_velocity_and_every_check() -> None:
    guard = armed()
    in_motion(guard, np.full(6, 0.4))
    for _ in range(3):
        assert guard.coast() == Reason.PASSED
        assert guard.dq_c == pytest.approx(np.full(6, 0.4), rel=1e-9)
    guard.brake()
    assert guard.coast() == Reason.STOPPED


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), tcp_speed=st.sampled_from([0.2, 1.0, 1e3]))
def test_every_state_can_stop(seed: int, tcp_speed: float) -> None:
    """From a random state that a random walk emits, braking reaches rest inside all limits."""
    guard, rng = armed(0.001, BOX, PANDA, tcp_speed), np.random.default_rng(seed)
    for _ in range(rng.integers(1, 400)):
        guard.step(guard.q_c + guard.dq_c * 0.001 + rng.normal(0.0, 1e-3, 6).clip(-5e-3, 5e-3))
    assert stop_ticks(*guard.tables, 6) > 0
    assert not moving(guard.state, 6)


@pytest.mark.parametrize(("row", "value"), [(0, 7.0), (0, UR[1, 3]), (2, 0.0), (2, -1.0), (3, math.nan), (4, math.inf)])
def test_a_profile_that_makes_no_sense_is_refused(row: int, value: float) -> None:
    array = UR.copy()
    array[row, 3] = value
    with pytest.raises(ConfigError, match="not positive, or a range without inside"):
        Guard(ARM.chain, limits_of(array), 0.002)


def test_bad_construction_is_refused() -> None:
    for columns in (range(5), [*range(6), 5]):
        with pytest.raises(ConfigError, match="shape"):
            Guard(ARM.chain, limits_of(UR[:, columns]), 0.002)
    with pytest.raises(ConfigError, match="period"):
        Guard(ARM.chain, ARM.limits, 0.0)
    with pytest.raises(ConfigError, match="speed"):
        Guard(ARM.chain, Limits(UR, math.nan, {}), 0.002)
    with pytest.raises(ConfigError, match="inside"):
        Workspace((0.0, 0.0, 0.0), (1.0, 1.0, 0.0))
    with pytest.raises(ConfigError, match="inside"):
        Workspace((0.0, 0.0, math.nan), (1.0, 1.0, 1.0))


def test_ticks_leave_no_memory_behind() -> None:
    guard = armed(0.002, BOX, UR, 1.0)
    q_d = guard.q_c.copy()
    blocks = []
    for _ in range(3):
        for k in range(3000):
            np.multiply(START, 1.0 + 1e-3 * math.sin(0.01 * k), out=q_d)
            guard.step(q_d)
            guard.measure(q_d)
            guard.command(guard.q_c)
        blocks.append(sys.getallocatedblocks())
    assert abs(blocks[2] - blocks[1]) < 50
