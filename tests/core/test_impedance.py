"""Laws of Cartesian impedance: rest at the pose, the spring that was asked for, damped modes, and a tight follower."""

import math

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

from robostral.arm import Arm, load_arm
from robostral.arm.chain import Chain, transform
from robostral.control.impedance import WRENCH, impedance_kernel, impedance_workspace, pack_gains
from robostral.jit import kernel
from robostral.kinematics import aba, crba, fk, jacobian, rnea, workspace
from robostral.kinematics.aba import aba_kernel
from robostral.kinematics.codes import BAD_SHAPE, NOT_FINITE, OK

STIFFNESS, RATIO = np.array([600.0, 600.0, 400.0, 20.0, 20.0, 20.0]), np.ones(6)
GAINS = pack_gains(STIFFNESS, RATIO, 10.0)
ARMS = ("panda", "ur5e")


def tooled(arm: Arm) -> Chain:
    return arm.chain.with_tcp(transform((0.0, 0.02, 0.12), (0.1, -0.2, 0.3)))


class Law:
    """The kernel with its work space."""

    def __init__(self, name: str, gains: np.ndarray = GAINS) -> None:
        self.arm, self.gains = load_arm(name), gains
        self.chain = tooled(self.arm)
        self.n, self.room = self.chain.n, impedance_workspace(self.chain)
        self.zero = np.zeros(self.n)

    def __call__(self, q_d, dq_d, ddq_d, q, dq):
        tau = np.zeros(self.n)
        assert impedance_kernel(self.chain.model, self.gains, q_d, dq_d, ddq_d, q, dq, *self.room, tau) == OK
        return tau

    def poses(self, m: int) -> np.ndarray:
        return self.arm.home + np.random.default_rng(1).uniform(-0.4, 0.4, (m, self.n))


@kernel
def simulate(model, gains, q_d, dq_d, ddq_d, dt, work, room, q, dq, tau, ddq, log):
    """Run the law on our own forward dynamics, four integration steps to a tick."""
    code = OK
    for k in range(log.shape[0]):
        code = max(code, impedance_kernel(model, gains, q_d[k], dq_d[k], ddq_d[k], q, dq, *room, tau))
        for _ in range(4):
            aba_kernel(model, q, dq, tau, work, ddq)
            for i in range(q.shape[0]):
                dq[i] += 0.25 * dt * ddq[i]
                q[i] += 0.25 * dt * dq[i]
        for i in range(q.shape[0]):
            log[k, i] = q[i]
    return code


def run(law: Law, path: np.ndarray, dt: float, q: np.ndarray, feed: float = 1.0) -> np.ndarray:
    """Follow `path`, shape (T, n), and return where the arm was after each tick."""
    dq_d = feed * np.gradient(path, dt, axis=0)
    ddq_d = np.gradient(dq_d, dt, axis=0)
    log, rest = np.empty_like(path), np.zeros((3, law.n))
    work, q = workspace(law.chain), q.copy()
    args = law.chain.model, law.gains, path, dq_d, ddq_d, dt, work, law.room
    assert simulate(*args, q, *rest, log) == OK
    return log


@pytest.mark.parametrize("name", ARMS)
def test_at_the_set_point_it_carries_the_arm_and_no_more(name):
    law = Law(name)
    for q in law.poses(5):
        np.testing.assert_allclose(law(q, law.zero, law.zero, q, law.zero), rnea.rnea(law.chain, q, law.zero, law.zero))
        assert not law.room[-1][WRENCH].any()


@pytest.mark.parametrize("name", ARMS)
def test_a_perfect_follower_gets_the_torques_of_its_motion(name):
    law = Law(name)
    for q, dq, ddq in zip(law.poses(5), law.poses(5), law.poses(5), strict=True):
        np.testing.assert_allclose(law(q, dq, ddq, q, dq), rnea.rnea(law.chain, q, dq, ddq), atol=1e-9)


@pytest.mark.parametrize("name", ARMS)
def test_the_tcp_feels_the_spring_that_was_asked_for(name):
    """A force at the tcp that the spring's answers holds the arm still: also a redundant one, by its null space."""
    law = Law(name)
    for q in law.poses(5):
        q_d = q + 1e-4 * law.poses(1)[0]
        tau = law(q_d, law.zero, law.zero, q, law.zero)
        T, T_d, J = fk.tcp(law.chain, q), fk.tcp(law.chain, q_d), jacobian.jacobian(law.chain, q)
        R = T_d[:3, :3] @ T[:3, :3].T
        turn = np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2.0
        wrench = STIFFNESS * np.concatenate((T_d[:3, 3] - T[:3, 3], turn))
        np.testing.assert_allclose(law.room[-1][WRENCH][:6], wrench, rtol=1e-4, atol=1e-6)
        held = aba.aba(law.chain, q, law.zero, tau - J.T @ wrench)
        np.testing.assert_allclose(J @ held, 0.0, atol=1e-3)  # the null space may move, the tcp does not


@pytest.mark.parametrize("name", ARMS)
def test_every_mode_has_its_damping_ratio(name):
    """Eigenvalues of the arm under the law, linearised: real parts all negative, ratios as asked for."""
    for ratio, least in ((1.0, 0.85), (0.7, 0.65)):
        law = Law(name, pack_gains(STIFFNESS, np.full(6, ratio), 10.0))
        for q in law.poses(4):
            M, h, n = crba.crba(law.chain, q), 1e-6, law.n
            K, D = np.empty((n, n)), np.empty((n, n))
            for j, d in enumerate(h * np.eye(n)):
                K[:, j] = law(q + d, law.zero, law.zero, q, law.zero) - law(q - d, law.zero, law.zero, q, law.zero)
                D[:, j] = law(q, d, law.zero, q, law.zero) - law(q, -d, law.zero, q, law.zero)
            K, D = np.linalg.solve(M, K / (2 * h)), np.linalg.solve(M, D / (2 * h))
            modes = np.linalg.eigvals(np.block([[np.zeros((n, n)), np.eye(n)], [-K, -D]]))
            assert modes.real.max() < -0.5
            assert (-modes.real / np.abs(modes)).min() > least


@pytest.mark.parametrize("name", ARMS)
def test_the_damper_never_drives(name):
    """Passive: whatever the ratios, the damper's power at the tcp is not positive."""
    rng = np.random.default_rng(2)
    for q in Law(name).poses(10):
        law = Law(name, pack_gains(rng.uniform(1.0, 2e3, 6), rng.uniform(0.0, 2.0, 6), 5.0))
        dq = rng.normal(size=law.n)
        law(q, law.zero, law.zero, q, dq)
        assert law.room[-1][WRENCH][:6] @ (jacobian.jacobian(law.chain, q) @ dq) <= 0.0


@pytest.mark.parametrize("dt", [0.001, 0.002])
def test_a_pushed_arm_comes_back_without_overshoot(dt):
    law = Law("panda")
    q_d = law.poses(1)[0]
    J = jacobian.jacobian(law.chain, q_d)
    start = q_d + np.linalg.pinv(J) @ np.array([0.02, -0.03, 0.01, 0.1, -0.1, 0.2])
    log = run(law, np.tile(q_d, (round(2.0 / dt), 1)), dt, start)
    T_d = fk.tcp(law.chain, q_d)
    away = np.linalg.norm([T[:3, 3] - T_d[:3, 3] for T in fk.tcp(law.chain, log)], axis=1)
    assert away[-1] < 1e-5
    assert away[round(0.7 / dt) :].max() < 1e-3
    assert np.linalg.norm(log[-1] - q_d) < 5e-3  # the null space as well, more slowly


def test_a_moving_set_point_is_followed_because_its_velocity_is_fed_forward():
    law, dt = Law("panda"), 0.001
    t = np.arange(0.0, 2.0, dt)[:, None]
    sway = 0.4 * np.sin(math.pi * t) ** 2 * np.array([1.0, 0.6, -0.8, 0.5, 1.0, -0.7, 1.0])
    path = law.arm.home + sway
    wanted = fk.tcp(law.chain, path)[:, :3, 3]
    speed = np.linalg.norm(np.diff(wanted, axis=0), axis=1).max() / dt
    assert speed > 0.3

    def error(feed: float) -> float:
        went = fk.tcp(law.chain, run(law, path, dt, path[0], feed))[:, :3, 3]
        return float(np.linalg.norm(went[:-1] - wanted[1:], axis=1).max())

    assert error(1.0) < 0.5e-3
    assert error(0.0) > 5e-3, "and that is what it is for"


def test_an_axis_without_stiffness_is_free():
    law = Law("panda", pack_gains(np.array([600.0, 600.0, 0.0, 20.0, 20.0, 20.0]), RATIO, 10.0))
    q, rng = law.poses(1)[0], np.random.default_rng(0)
    law(q + 0.01, law.zero, law.zero, q, rng.normal(size=7))
    assert law.room[-1][WRENCH][2] == 0.0
    assert np.abs(law.room[-1][WRENCH][:2]).min() > 0.1


def test_bad_input_is_a_code():
    law, tau = Law("panda"), np.zeros(7)
    q, zero, model = law.arm.home, law.zero, law.chain.model
    assert impedance_kernel(model, GAINS[:6], q, zero, zero, q, zero, *law.room, tau) == BAD_SHAPE
    assert impedance_kernel(model, GAINS, q, zero, zero, q[:6], zero, *law.room, tau) == BAD_SHAPE
    for at in range(5):
        args = [q.copy(), zero.copy(), zero.copy(), q.copy(), zero.copy()]
        args[at][2] = np.nan
        assert impedance_kernel(model, GAINS, *args, *law.room, tau) == NOT_FINITE


def test_a_tick_does_not_allocate():
    _nrt_python.memsys_enable_stats()
    law, spent = Law("panda"), []
    for ticks in (10, 10, 500):
        path, rest = np.tile(law.arm.home, (ticks, 1)), np.zeros((3, 7))
        log, q, work, still = np.empty_like(path), law.arm.home + 0.1, workspace(law.chain), np.zeros((ticks, 7))
        before = rtsys.get_allocation_stats().alloc
        simulate(law.chain.model, GAINS, path, still, still, 0.001, work, law.room, q, *rest, log)
        spent.append(rtsys.get_allocation_stats().alloc - before)
    assert spent[2] == spent[1]
