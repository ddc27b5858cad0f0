"""Laws of joint impedance: rest at the set-point, the spring that was asked for, and a tight follower over friction."""

import math

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

from robostral.arm import load_arm
from robostral.control.joint import SMOOTHING, friction_kernel, joint_damping, joint_impedance_kernel
from robostral.jit import allocating, kernel
from robostral.kinematics import workspace
from robostral.kinematics.aba import aba_kernel
from robostral.kinematics.codes import BAD_SHAPE, NOT_FINITE, OK
from robostral.kinematics.gravity import gravity

ARM = load_arm("panda")
N = ARM.chain.n
K = np.array([600.0, 600, 500, 400, 150, 100, 50])
D = joint_damping(ARM.chain, ARM.home, K)
COULOMB, VISCOUS = np.full(N, 0.8), np.full(N, 0.5)
ZERO = np.zeros(N)
STEPS = 20
"""Integration steps to a tick: friction at rest is stiff."""


def law(q_d, dq_d, ddq_d, q, dq, friction=ZERO):
    tau = np.zeros(N)
    args = ARM.chain.model, K, D, q_d, dq_d, ddq_d, q, dq, friction, workspace(ARM.chain), tau
    return joint_impedance_kernel(*args), tau


@allocating
def simulate(model, k, d, path, dt, coulomb, viscous, feed, work, q, dq, tau, friction, ddq, log):
    n = q.shape[0]
    dq_d, ddq_d, left = np.zeros(n), np.zeros(n), np.zeros(n)
    for t in range(2, log.shape[0]):
        for i in range(n):
            dq_d[i] = (path[t, i] - path[t - 1, i]) / dt
            ddq_d[i] = (path[t, i] - 2.0 * path[t - 1, i] + path[t - 2, i]) / (dt * dt)
        friction_kernel(feed * coulomb, feed * viscous, dq_d, friction)
        joint_impedance_kernel(model, k, d, path[t], dq_d, ddq_d, q, dq, friction, work, tau)
        for _ in range(STEPS):
            friction_kernel(coulomb, viscous, dq, friction)
            for i in range(n):
                left[i] = tau[i] - friction[i]
            aba_kernel(model, q, dq, left, work, ddq)
            for i in range(n):
                dq[i] += dt / STEPS * ddq[i]
                q[i] += dt / STEPS * dq[i]
        log[t] = q


@kernel
def repeat(count, model, k, d, q, zero, work, tau):
    for _ in range(count):
        friction_kernel(zero, zero, zero, tau)
        joint_impedance_kernel(model, k, d, q, zero, zero, q, zero, zero, work, tau)


def worst_error(feed: float) -> float:
    t = 0.001 * np.arange(3000)[:, None]
    path = ARM.home + 0.2 * (1.0 - np.cos(2.0 * t)) * np.linspace(1.0, -1.0, N)
    log, rest = path.copy(), [np.zeros(N) for _ in range(5)]
    q, args = ARM.home.copy(), (ARM.chain.model, K, D, path, 0.001, COULOMB, VISCOUS, feed)
    simulate(*args, workspace(ARM.chain), q, *rest[:4], log)
    return float(np.abs(log - path).max())


def test_at_rest_on_the_set_point_it_only_holds_the_weight() -> None:
    code, tau = law(ARM.home, ZERO, ZERO, ARM.home, ZERO)
    assert code == OK
    assert tau == pytest.approx(gravity(ARM.chain, ARM.home), abs=1e-12)


def test_it_is_the_spring_and_the_damper_that_were_asked_for() -> None:
    _, rest = law(ARM.home, ZERO, ZERO, ARM.home, ZERO)
    _, pushed = law(ARM.home + 0.01, ZERO, ZERO, ARM.home, ZERO)
    assert pushed - rest == pytest.approx(0.01 * K)
    _, fast = law(ARM.home, np.full(N, 0.1), ZERO, ARM.home, ZERO)
    assert fast - rest == pytest.approx(0.1 * D)


def test_friction_fed_forward_makes_it_follow_tightly() -> None:
    without, fed = worst_error(0.0), worst_error(1.0)
    assert without > 5e-3
    assert fed < 0.5 * without


def test_friction_is_odd_smooth_at_rest_and_full_beyond() -> None:
    out = np.zeros(N)
    friction_kernel(COULOMB, VISCOUS, np.full(N, 20 * SMOOTHING), out)
    assert out == pytest.approx(0.8 + 0.5 * 20 * SMOOTHING)
    back = np.zeros(N)
    friction_kernel(COULOMB, VISCOUS, np.full(N, -20 * SMOOTHING), back)
    assert (back == -out).all()
    friction_kernel(COULOMB, VISCOUS, ZERO, out)
    assert not out.any()


def test_what_is_no_number_is_no_command() -> None:
    bad = np.where(np.arange(N) == 3, math.nan, ARM.home)
    assert law(ARM.home, ZERO, ZERO, bad, ZERO)[0] == NOT_FINITE
    assert law(bad, ZERO, ZERO, ARM.home, ZERO)[0] == NOT_FINITE
    assert law(ARM.home[:3], ZERO, ZERO, ARM.home, ZERO)[0] == BAD_SHAPE
    assert law(ARM.home, ZERO, ZERO, ARM.home, ZERO, ZERO[:2])[0] == BAD_SHAPE


def test_it_does_not_allocate() -> None:
    _nrt_python.memsys_enable_stats()
    work, tau, spent = workspace(ARM.chain), np.zeros(N), []
    for count in (1, 1, 1000):
        before = rtsys.get_allocation_stats().alloc
        repeat(count, ARM.chain.model, K, D, ARM.home, ZERO, work, tau)
        spent.append(rtsys.get_allocation_stats().alloc - before)
    assert spent[2] == spent[1]
