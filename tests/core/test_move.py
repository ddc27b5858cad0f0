"""Laws of guarded moves: straight, in step, inside all limits, bit for bit at the goal, at a speed that may change."""

import math

import numpy as np
import pytest
from hostile import ARM, PANDA, START, limits_of
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from robostral.control.move import MoveRefused, MoveTo
from robostral.guard import Guard, Reason, Workspace
from robostral.kinematics.fk import tcp_kernel
from robostral.oracle import count_violations

FloatArray = NDArray[np.float64]


def armed(
    dt: float = 0.002,
    array: FloatArray = ARM.limits.array,
    tcp_speed: float = 1.5,
    workspace: Workspace | None = None,
) -> Guard:
    guard = Guard(ARM.chain, limits_of(array, tcp_speed), dt, workspace)
    assert guard.reset(START) == Reason.PASSED
    return guard


def run(move: MoveTo, guard: Guard, ticks: int = 100_000) -> FloatArray:
    log = [guard.q_c.copy()]
    while not move.done and len(log) <= ticks:
        assert move.step() == Reason.PASSED
        log.append(guard.q_c.copy())
    return np.array(log)


@settings(max_examples=40, deadline=None)
@given(
    way=st.lists(st.floats(-1.0, 1.0), min_size=6, max_size=6),
    scale=st.sampled_from([1e-9, 1e-5, 1e-2, 1.0]),
    rate=st.sampled_from([(0.001, True), (0.001, False), (0.002, False), (0.008, False)]),
)
def test_any_move_arrives_straight_and_inside_the_limits(
    way: list[float], scale: float, rate: tuple[float, bool]
) -> None:
    dt, panda = rate
    array = PANDA if panda else ARM.limits.array
    guard = armed(dt, array)
    goal = np.clip(START + scale * np.array(way), array[0] + 1e-3, array[1] - 1e-3)
    log = run(MoveTo(guard, goal), guard)
    assert (log[-1] == goal).all()
    assert not guard.dq_c.any()
    found = count_violations(log, dt, array)
    assert sum(finding["violations"] for finding in found.values()) == 0
    length = np.linalg.norm(goal - START)
    if length > 0.0:
        direction = (goal - START) / length
        off = (log - START) - ((log - START) @ direction)[:, None] * direction
        assert np.abs(off).max() < 1e-14


def test_a_long_move_takes_the_time_its_slowest_joint_needs() -> None:
    guard = armed(tcp_speed=1e3)
    goal = START + np.array([2.0, 0.1, 0, 0, -1.0, 0])
    seconds = (len(run(MoveTo(guard, goal), guard)) - 1) * 0.002
    assert seconds == pytest.approx(2.0 / math.pi + math.pi / 10.0, rel=0.08)


def test_the_tcp_keeps_its_speed_limit_without_the_guard_changing_a_tick() -> None:
    guard, T = armed(tcp_speed=0.25), np.zeros((4, 4))
    log = run(MoveTo(guard, START + np.array([1.0, 0.5, -0.5, 0.2, 0.3, 0.0])), guard)
    points = []
    for q in log:
        tcp_kernel(ARM.chain.model, q, T)
        points.append(T[:3, 3].copy())
    speeds = np.linalg.norm(np.diff(points, axis=0), axis=1) / 0.002
    assert 0.2 < speeds.max() <= 0.25
    assert guard.counts[Reason.LIMITED] == 0


def test_speed_changes_smoothly_on_the_way() -> None:
    guard, log = armed(), [START]
    goal = START + np.array([2.0, -0.5, 0.5, 0.2, 0.3, 0.0])
    move = MoveTo(guard, goal)
    top: list[float] = []
    for speed in (1.0, 0.3, 0.0, 1.0, 0.05, 0.0, 0.6):
        move.speed = speed
        for _ in range(150):
            assert move.step() == Reason.PASSED
            log.append(guard.q_c.copy())
        top.append(abs(float(guard.dq_c[0])))
    assert top[1] == pytest.approx(0.3 * top[0], rel=1e-6)
    assert top[2] == top[5] == 0.0, "speed 0 stands still on the path"
    assert 0.0 < move.progress < 1.0
    log.extend(run(move, guard)[1:])
    assert (log[-1] == goal).all()
    found = count_violations(np.array(log), 0.002, ARM.limits.array)
    assert sum(finding["violations"] for finding in found.values()) == 0


def test_no_way_is_done_at_once() -> None:
    guard = armed()
    move = MoveTo(guard, START)
    assert move.done
    assert move.step() == Reason.PASSED
    assert (guard.q_c == START).all()


def test_a_way_out_of_the_workspace_stops() -> None:
    guard = armed(workspace=Workspace((-0.8, -0.6, 0.0), (0.8, 0.6, 0.9)))
    move = MoveTo(guard, START + np.array([0, 1.0, -1.4, 0, 0, 0]))
    codes = {move.step() for _ in range(5000)}
    assert codes == {Reason.PASSED, Reason.WORKSPACE}
    assert not move.done
    assert not guard.dq_c.any()


def test_a_move_that_may_not_begin_is_refused() -> None:
    guard = armed()
    with pytest.raises(MoveRefused, match=r"'elbow_joint' = 4.0000 is outside \[-3.1416, 3.1416\]"):
        MoveTo(guard, START + np.array([0, 0, 2.6, 0, 0, 0]))
    with pytest.raises(MoveRefused, match="outside"):
        MoveTo(guard, np.where(np.arange(6) == 1, math.nan, START))
    with pytest.raises(MoveRefused, match="shape"):
        MoveTo(guard, np.zeros(7))
    guard.step(guard.q_c + 1e-6)
    with pytest.raises(MoveRefused, match="at rest"):
        MoveTo(guard, START)
    guard.brake()
    with pytest.raises(MoveRefused, match="STOPPED"):
        MoveTo(guard, START)
