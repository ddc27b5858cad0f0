"""Laws of jogging: it goes where it is told inside every limit, and rests on its own when nobody asks any more."""

import numpy as np
import pytest
from servo_cell import ARM, N, tcp

from robostral.control.jog import JOG_SHARE, JOG_TCP, SILENCE_NS, Jog
from robostral.guard import Guard, Reason
from robostral.oracle import count_violations

DT = 0.002
DT_NS = 2_000_000


def drive(jog: Jog, guard: Guard, ticks: int, start: int = 0, speed: float = 1.0) -> np.ndarray:
    q_d, rows = np.zeros(N), []
    for k in range(start, start + ticks):
        jog.step(k * DT_NS, speed, q_d)
        assert guard.step(q_d) in {Reason.PASSED, Reason.LIMITED}
        rows.append(guard.q_c.copy())
    return np.array(rows)


def ready() -> tuple[Jog, Guard]:
    guard = Guard(ARM.chain, ARM.limits, DT)
    assert guard.reset(ARM.home.copy()) == Reason.PASSED
    return Jog(guard), guard


@pytest.mark.parametrize("seed", range(8))
def test_joint_velocities_are_reached_and_left_inside_every_limit(seed: int) -> None:
    jog, guard = ready()
    rng = np.random.default_rng(seed)
    rows, tick = [ARM.home[None]], 0
    for _ in range(6):
        jog.joints(rng.uniform(-2.0, 2.0, N), tick * DT_NS)
        ticks = int(rng.integers(5, 200))
        rows.append(drive(jog, guard, ticks, tick))
        tick += ticks
    assert np.abs(guard.dq_c).max() <= JOG_SHARE * ARM.limits.array[2].max() + 1e-9
    rows.append(drive(jog, guard, 400, tick))
    assert jog.at_rest
    assert not jog.step((tick + 400) * DT_NS, 1.0, np.zeros(N))
    found = count_violations(np.concatenate(rows), DT, ARM.limits.array)
    assert sum(finding["violations"] for finding in found.values()) == 0
    assert guard.counts[Reason.LIMITED] == 0


def test_the_dead_man_lets_go_on_time_and_the_arm_rests_soon() -> None:
    jog, guard = ready()
    jog.joints(np.array([0.5, 0, 0, 0, 0, 0]), 0)
    rows = drive(jog, guard, 400)
    moving = np.flatnonzero(np.abs(np.diff(rows[:, 0])) > 0)
    last_full = np.flatnonzero(np.abs(np.diff(rows[:, 0]) - 0.5 * DT) < 1e-9)[-1]
    assert last_full + 1 == pytest.approx(SILENCE_NS / DT_NS, abs=2)
    assert (moving[-1] - last_full) * DT < 0.5 / 10.0 + 0.1  # v / a of the profile, and its ramps


@pytest.mark.parametrize("axis", range(6))
def test_a_cartesian_jog_moves_the_tcp_along_its_axis(axis: int) -> None:
    jog, guard = ready()
    twist = np.zeros(6)
    twist[axis] = 0.1
    jog.tcp(twist, 0)
    rows = drive(jog, guard, 120)
    before, after = tcp(rows[80]), tcp(rows[110])
    velocity = (after[:3] - before[:3]) / (30 * DT)
    if axis < 3:
        np.testing.assert_allclose(velocity, twist[:3], atol=3e-3)
        np.testing.assert_allclose(after[3:], before[3:], atol=1e-3)
    else:
        np.testing.assert_allclose(velocity, 0.0, atol=3e-3)
        turn = 2.0 * np.arccos(min(1.0, abs(float(after[3:] @ before[3:])))) / (30 * DT)
        assert turn == pytest.approx(0.1, abs=5e-3)


def test_a_cartesian_jog_is_never_faster_than_the_reduced_speed() -> None:
    jog, guard = ready()
    jog.tcp(np.array([0.0, 0.0, 9.0, 0.0, 0.0, 0.0]), 0)
    rows = drive(jog, guard, 120)
    p = np.array([tcp(q)[:3] for q in rows])
    assert np.linalg.norm(np.diff(p, axis=0), axis=1).max() / DT < JOG_TCP * 1.05


def test_near_a_singular_pose_the_joints_stay_slow() -> None:
    jog, guard = ready()
    straight = np.array([0.0, -np.pi / 2, 0.0, -np.pi / 2, 0.0, 0.0])
    assert guard.reset(straight) == Reason.PASSED
    jog.tcp(np.array([0.2, 0.2, 0.2, 0.0, 0.0, 0.0]), 0)
    rows = drive(jog, guard, 120)
    assert np.abs(np.diff(rows, axis=0)).max() / DT <= JOG_SHARE * ARM.limits.array[2].max() + 1e-9
