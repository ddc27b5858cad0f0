"""Laws of chunk following: exact on lines, smooth, without overshoot, the same at every control rate."""

import numpy as np
import pytest
from hostile import ARM, PANDA, START, limits_of
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from robostral.control.interpolate import follow
from robostral.guard import Guard, Reason
from robostral.oracle import count_violations

FloatArray = NDArray[np.float64]

DT_STEP = 0.04


def armed(dt: float, array: FloatArray = ARM.limits.array) -> Guard:
    guard = Guard(ARM.chain, limits_of(array), dt)
    assert guard.reset(START) == Reason.PASSED
    return guard


def run(guard: Guard, knots: FloatArray, seconds: float, speed: float = 1.0) -> FloatArray:
    """Follow one chunk from rest; return the commands, shape (T + 1, n), the start pose first."""
    log, q_d = [guard.q_c.copy()], np.zeros(6)
    for k in range(round(seconds / guard.dt)):
        follow(guard, START, knots, DT_STEP, speed * (k + 1) * guard.dt, q_d, speed)
        assert guard.step(q_d) == Reason.PASSED, "in normal motion the guard has nothing to change"
        log.append(guard.q_c.copy())
    return np.array(log)


def wave(H: int = 50) -> FloatArray:
    """Knots of a smooth motion, up to 0.6 rad/s."""
    t = DT_STEP * np.arange(1, H + 1)[:, None]
    return START + 0.2 * (1.0 - np.cos(3.0 * t)) * np.array([1.0, -0.5, 0.3, 0.8, -1.0, 0.2])


@pytest.mark.parametrize("dt", [0.001, 0.002, 0.004])
def test_a_smooth_chunk_is_followed_closely(dt: float) -> None:
    log = run(armed(dt), wave(), 2.0)[1:]
    times = dt * np.arange(1, len(log) + 1)
    knots = np.vstack([START, wave()])
    target = np.array([np.interp(times, DT_STEP * np.arange(51), knots[:, i]) for i in range(6)]).T
    assert np.abs(log - target).max() < 2e-3


def test_every_control_rate_gives_the_same_motion() -> None:
    reference = run(armed(0.001), wave(), 2.0)[::40]
    for dt in (0.002, 0.004):
        assert np.abs(run(armed(dt), wave(), 2.0)[:: round(0.04 / dt)] - reference).max() < 5e-4


def test_from_rest_a_far_target_at_rest_is_never_overshot() -> None:
    for array, dt in ((ARM.limits.array, 0.002), (ARM.limits.array, 0.004), (PANDA, 0.001)):
        guard, q_d = armed(dt, array), np.zeros(6)
        goal = START + np.array([0.8, -0.5, 0.3, -0.02, 0.001, 1.0])
        for _ in range(round(2.0 / dt)):
            follow(guard, goal, goal[None], DT_STEP, 0.02, q_d)
            assert guard.step(q_d) == Reason.PASSED
            assert ((guard.q_c - START) / (goal - START)).max() < 1.0 + 1e-3
        assert guard.q_c == pytest.approx(goal, abs=1e-9)


def test_limits_are_kept_by_the_reference_itself() -> None:
    rng = np.random.default_rng(1)
    guard, q_d, log, limited = armed(0.002), np.zeros(6), [START], 0
    for _ in range(200):
        seam = guard.q_c.copy()
        knots = seam + np.cumsum(rng.uniform(-0.06, 0.06, (3, 6)), axis=0)
        for k in range(20):
            follow(guard, seam, knots, DT_STEP, (k + 1) * 0.002, q_d)
            limited += guard.step(q_d)
            log.append(guard.q_c.copy())
    found = count_violations(np.array(log), 0.002, ARM.limits.array)
    assert sum(finding["violations"] for finding in found.values()) == 0
    assert limited <= 0.01 * len(log)


def test_after_the_last_knot_the_reference_rests_there() -> None:
    knots = wave(3)
    log = run(armed(0.002), knots, 1.0)
    assert log[-1] == pytest.approx(knots[-1], abs=1e-6)


def test_a_target_beyond_the_joint_range_ends_at_the_limit() -> None:
    guard, q_d = armed(0.002), np.zeros(6)
    goal = START.copy()
    goal[2] = 5.0
    for _ in range(1500):
        follow(guard, guard.q_c.copy(), goal[None], DT_STEP, 0.04, q_d)
        assert guard.step(q_d) <= Reason.LIMITED
    assert guard.q_c[2] == pytest.approx(np.pi, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(speed=st.floats(0.1, 1.0))
def test_slower_time_takes_the_same_way(speed: float) -> None:
    full, slow = run(armed(0.002), wave(), 1.0), run(armed(0.002), wave(), 1.0 / speed, speed)
    assert slow[-1] == pytest.approx(full[-1], abs=5e-3)
    assert np.abs(np.diff(slow, axis=0)).max() < (1.1 * speed + 0.02) * np.abs(np.diff(full, axis=0)).max()
