"""A torque tick is follow, guard, law and guard in their order; what is not finite ends in a stop inside the limits."""

import numpy as np
import pytest

from robostral.arm import load_arm
from robostral.arm.limits import DTAU, TAU
from robostral.contract import Impedance
from robostral.control.impedance import impedance_kernel, impedance_workspace, pack_gains
from robostral.control.interpolate import follow
from robostral.control.ticks import ImpedanceTick
from robostral.guard import Guard, Reason
from robostral.kinematics import aba, fk, gravity
from robostral.oracle import count_violations

PANDA = load_arm("panda")
DT, STEP_S = 0.002, 0.05
STIFFNESS, RATIO = (600.0, 600.0, 400.0, 20.0, 20.0, 20.0), (1.0,) * 6
IMPEDANCE = Impedance(STIFFNESS, RATIO, 10.0)


@pytest.fixture
def guard():
    return Guard(PANDA.chain, PANDA.limits, DT)


def advance(q, dq, tau):
    """Integrate our own forward dynamics over one tick."""
    for _ in range(4):
        dq += 0.25 * DT * aba.aba(PANDA.chain, q, dq, tau)
        q += 0.25 * DT * dq


def test_one_call_is_its_four_stages_bit_for_bit(guard):
    single, tick = Guard(PANDA.chain, PANDA.limits, DT), ImpedanceTick(guard, IMPEDANCE)
    room, gains = impedance_workspace(PANDA.chain), pack_gains(np.array(STIFFNESS), np.array(RATIO), 10.0)
    q, dq, tau, q_d, tau_d = PANDA.home, np.zeros(7), np.zeros(7), np.zeros(7), np.zeros(7)
    assert tick.reset(q) == single.reset(q) == Reason.PASSED
    single.reset_torque(gravity.gravity(PANDA.chain, q))
    np.testing.assert_array_equal(guard.tau_c, single.tau_c)
    seam, knots = q.copy(), q + np.cumsum(np.full((3, 7), 0.02), axis=0)
    for k in range(60):
        code = tick(seam, knots, STEP_S, (k + 1) * DT, q, dq, tau)
        follow(single, seam, knots, STEP_S, (k + 1) * DT, q_d)
        single.measure(q)
        stage1 = single.step(q_d)
        impedance_kernel(PANDA.chain.model, gains, single.q_c, single.dq_c, np.zeros(7), q, dq, *room, tau_d)
        assert code == max(stage1, single.torque(tau_d))
        np.testing.assert_array_equal(tau, single.tau_c)
        advance(q, dq, tau)
    moved = fk.tcp(PANDA.chain, q)[:3, 3] - fk.tcp(PANDA.chain, seam)[:3, 3]
    assert np.linalg.norm(moved) > 0.02


def test_torques_stay_inside_their_limits_whatever_is_measured(guard):
    tick, rng = ImpedanceTick(guard, IMPEDANCE), np.random.default_rng(0)
    q, tau = PANDA.home, np.zeros(7)
    tick.reset(q)
    last = guard.tau_c.copy()
    for k in range(300):
        knots = q + rng.uniform(-0.3, 0.3, (3, 7))
        measured = q + rng.uniform(-0.2, 0.2, 7)
        dq = rng.uniform(-3.0, 3.0, 7)
        if k % 50 == 40:
            measured[3] = np.nan
        tick(q, knots, STEP_S, 0.02, measured, dq, tau)
        assert (np.abs(tau) <= PANDA.limits.array[TAU]).all()
        assert (np.abs(tau - last) <= PANDA.limits.array[DTAU] * DT + 1e-9).all()
        last = tau.copy()
    assert guard.reason == Reason.TRACKING


def test_a_set_point_that_is_no_number_stops_the_arm_on_its_spring(guard):
    tick = ImpedanceTick(guard, IMPEDANCE)
    q, dq, tau = PANDA.home, np.zeros(7), np.zeros(7)
    tick.reset(q)
    seam, knots = q.copy(), q + np.cumsum(np.full((3, 7), 0.03), axis=0)
    for k in range(25):
        tick(seam, knots, STEP_S, (k + 1) * DT, q, dq, tau)
        advance(q, dq, tau)
    assert np.abs(dq).max() > 0.2
    knots[:] = np.nan
    for _ in range(800):
        assert tick(seam, knots, STEP_S, STEP_S, q, dq, tau) == Reason.NOT_FINITE
        advance(q, dq, tau)
    assert np.abs(dq).max() < 1e-3
    np.testing.assert_allclose(q, guard.q_c, atol=2e-3)


def test_a_measurement_that_is_no_number_keeps_the_torques(guard):
    tick = ImpedanceTick(guard, IMPEDANCE)
    q, dq, tau = PANDA.home, np.zeros(7), np.zeros(7)
    tick.reset(q)
    hold = guard.tau_c.copy()
    assert tick(q, q[None].copy(), STEP_S, DT, np.full(7, np.nan), dq, tau) == Reason.TRACKING
    np.testing.assert_array_equal(tau, hold)


def test_a_velocity_that_is_no_number_stops_the_set_point_inside_its_limits(guard):
    tick = ImpedanceTick(guard, IMPEDANCE)
    q, dq, tau = PANDA.home, np.zeros(7), np.zeros(7)
    tick.reset(q)
    seam, knots, log = q.copy(), q + np.cumsum(np.full((3, 7), 0.03), axis=0), [q.copy()]
    for k in range(200):
        seen = dq if k < 25 else np.full(7, np.nan)
        code = tick(seam, knots, STEP_S, (k + 1) * DT, q, seen, tau)
        log.append(guard.q_c.copy())
        advance(q, dq, tau)
        assert k < 25 or code == Reason.NOT_FINITE
    found = count_violations(np.array(log), DT, PANDA.limits.array)
    assert {name: finding["violations"] for name, finding in found.items()} == dict.fromkeys(found, 0)
    assert not guard.dq_c.any()
    assert guard.counts[Reason.NOT_FINITE] == 1
