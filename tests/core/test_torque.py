"""Torque mode: limits of torque and its change, the stop, and the cap of kinetic energy, which takes what drives."""

import math

import numpy as np
import pytest

from robostral.arm import load_arm
from robostral.contract import Impedance
from robostral.control.ticks import ImpedanceTick
from robostral.guard import Guard, Reason
from robostral.guard.torque import energy_kernel, torque_kernel
from robostral.kinematics import aba, workspace
from robostral.kinematics.crba import crba_kernel
from robostral.kinematics.gravity import gravity

PANDA = load_arm("panda")
N, DT, CAP = 7, 0.001, 0.5


def inertia(q: np.ndarray) -> np.ndarray:
    M = np.zeros((N, N))
    crba_kernel(PANDA.chain.model, q, workspace(PANDA.chain), M)
    return M


def energy(q: np.ndarray, dq: np.ndarray) -> float:
    return float(0.5 * dq @ inertia(q) @ dq)


def capped(q: np.ndarray, dq: np.ndarray, tau: np.ndarray, cap: float = CAP) -> int:
    table = Guard(PANDA.chain, PANDA.limits, DT, energy=cap).table
    return energy_kernel(PANDA.chain.model, table, q, dq, workspace(PANDA.chain), np.zeros((N, N)), np.zeros(N), tau)


@pytest.mark.parametrize("seed", range(20))
def test_torques_only_slow_the_motion_down_and_only_as_far_as_asked(seed: int) -> None:
    rng = np.random.default_rng(seed)
    q, dq, wanted = PANDA.home + rng.normal(0, 0.3, N), rng.normal(0, 0.3, N), rng.normal(0, 30.0, N)
    hold, tau = gravity(PANDA.chain, q), wanted.copy()
    code = capped(q, dq, tau)
    allowed = 20.0 * (CAP - energy(q, dq))
    if dq @ (wanted - hold) <= allowed:
        assert (tau == wanted).all()
    else:
        assert dq @ (tau - hold) == pytest.approx(allowed)
        slower = np.linalg.solve(inertia(q), tau - wanted)
        assert slower == pytest.approx((slower @ dq) / (dq @ dq) * dq, abs=1e-9)
        assert code != Reason.PASSED
    assert (code == Reason.ENERGY) == (energy(q, dq) > 1.1 * CAP)


def test_pushed_without_end_the_arm_nears_its_cap_and_never_passes_it() -> None:
    q, dq, most = PANDA.home, np.zeros(N), 0.0
    for _ in range(600):
        tau = gravity(PANDA.chain, q) + np.array([20.0, 0, 0, 0, 0, 0, 0]) - np.array([0, 20, 20, 20, 1, 1, 0.2]) * dq
        assert capped(q, dq, tau) != Reason.ENERGY
        for _ in range(10):
            dq += 0.1 * DT * aba.aba(PANDA.chain, q, dq, tau)
            q += 0.1 * DT * dq
        most = max(most, energy(q, dq))
    assert 0.9 * CAP < most < 1.02 * CAP


def test_without_a_cap_nothing_changes_and_a_pose_that_is_no_number_stops() -> None:
    dq, tau = np.full(N, 2.0), np.full(N, 50.0)
    assert capped(PANDA.home, dq, tau, np.inf) == Reason.PASSED
    assert (tau == 50.0).all()
    assert capped(np.where(np.arange(N) == 1, np.nan, PANDA.home), dq, tau) == Reason.ENERGY
    assert capped(PANDA.home, np.where(np.arange(N) == 1, np.nan, dq), tau) == Reason.ENERGY
    model, table, work = (
        PANDA.chain.model,
        Guard(PANDA.chain, PANDA.limits, DT, energy=CAP).table,
        workspace(PANDA.chain),
    )
    for rows, joints in ((N - 1, N), (N, N - 1)):
        M, hold = np.zeros((rows, N)), np.zeros(joints)
        assert energy_kernel(model, table, PANDA.home, dq, work, M, hold, tau) == Reason.ENERGY, "nothing to work in"


def test_a_blow_stops_the_arm_with_the_reason() -> None:
    guard = Guard(PANDA.chain, PANDA.limits, DT, energy=CAP)
    tick = ImpedanceTick(guard, Impedance((600.0,) * 3 + (20.0,) * 3, (1.0,) * 6, 10.0))
    q, dq, tau = PANDA.home, np.zeros(N), np.zeros(N)
    assert tick.reset(q) == Reason.PASSED
    knots, before = np.repeat(q[None], 3, axis=0), q.copy()
    assert tick(before, knots, 0.05, DT, q, dq, tau) <= Reason.LIMITED
    dq[0] = 2.0
    assert tick(before, knots, 0.05, 2 * DT, q, dq, tau) == Reason.ENERGY == guard.reason
    assert dq @ (tau - gravity(PANDA.chain, q)) < 0.0, "the torques brake"
    assert guard.counts[Reason.ENERGY] == 1
    dq[:] = 0.0
    assert tick(before, knots, 0.05, 3 * DT, q, dq, tau) == Reason.ENERGY, "and stays stopped"


def test_torque_limits_and_stop() -> None:
    arm = load_arm("ur5e")
    guard, limits = Guard(arm.chain, arm.limits, 0.002), arm.limits.array
    most = limits[5]
    guard.reset_torque(np.array([10.0, -60.0, 30.0, 5.0, math.nan, 500.0]))
    assert guard.tau_c == pytest.approx([10.0, -60.0, 30.0, 5.0, 0.0, 28.0], rel=1e-5)
    assert guard.torque(guard.tau_c + 1.9) == Reason.LIMITED, "the last joint stands at its limit"
    assert guard.torque(guard.tau_c - 1.9) == Reason.PASSED
    log = [guard.tau_c.copy()]
    for wish in (1e308, -1e308, 1e308):
        for _ in range(200):
            assert guard.torque(np.full(6, wish)) == Reason.LIMITED
            log.append(guard.tau_c.copy())
    assert (np.abs(log) <= most).all()
    assert np.max(np.abs(log), axis=0) == pytest.approx(most, rel=1e-5)
    assert (np.abs(np.diff(log, axis=0)) <= limits[6] * 0.002 * (1 + 1e-9)).all()
    before = guard.tau_c.copy()
    assert guard.torque(np.where(np.arange(6) == 1, math.inf, 0.0)) == Reason.NOT_FINITE
    for size in (0, 5, 7):
        assert torque_kernel(guard.table, guard.state, np.zeros(size), guard.tau_c) == Reason.SIZE
    assert (guard.tau_c == before).all()
    for _ in range(400):
        guard.torque_stop(np.zeros(6), np.array([0.0, 20.0, 10.0, 1.0, 0.0, 0.0]), np.full(6, 10.0))
    assert guard.tau_c == pytest.approx([0.0, 20.0, 10.0, 1.0, 0.0, 0.0])
    assert guard.torque_stop(np.full(6, 0.1), np.array([0.0, 20.0, 10.0, 1.0, 0.0, 0.0]), np.full(6, 10.0)) == 0
    assert guard.tau_c == pytest.approx([-1.0, 19.0, 9.0, 0.0, -1.0, -1.0])
    for _ in range(400):
        guard.torque_stop(np.full(6, math.nan), np.array([0.0, 20.0, 10.0, 1.0, 0.0, 0.0]), np.full(6, 10.0))
    assert guard.tau_c == pytest.approx([0.0, 20.0, 10.0, 1.0, 0.0, 0.0]), "a velocity that is no number counts as none"
    for bad in (math.nan, math.inf, -1e308):
        guard.torque_stop(np.full(6, bad), np.full(6, bad), np.full(6, 10.0))
        assert (np.abs(guard.tau_c) <= most).all()


def test_an_arm_that_holds_all_the_energy_it_may_is_not_slowed_as_long_as_nothing_drives_it() -> None:
    q, dq = PANDA.home.copy(), np.linspace(-0.3, 0.4, N)
    M, twice = inertia(q), 0.0
    for i in range(N):
        momentum = 0.0
        for j in range(N):
            momentum += M[i, j] * dq[j]
        twice += dq[i] * momentum
    tau = gravity(PANDA.chain, q)
    assert capped(q, dq, tau, 0.5 * twice) == Reason.PASSED
    assert (tau == gravity(PANDA.chain, q)).all()
    assert capped(q, dq, tau, 0.5 * twice * (1.0 - 1e-9)) == Reason.LIMITED
    most = 0.5 * twice / 1.1
    while 1.1 * most < 0.5 * twice:
        most = math.nextafter(most, 1e9)
    assert 1.1 * most == 0.5 * twice
    assert capped(q, dq, tau, most) == Reason.LIMITED
    assert capped(q, dq, tau, most * (1.0 - 1e-9)) == Reason.ENERGY
