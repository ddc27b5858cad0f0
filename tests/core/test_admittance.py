"""Laws of admittance: at rest it is the reference, under a steady push it goes as far as its spring says, and back."""

import math

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

from robostral.arm import load_arm
from robostral.control.admittance import OFFSET, admittance_gains, admittance_kernel, admittance_workspace
from robostral.guard import Guard, Reason
from robostral.jit import kernel
from robostral.kinematics import fk
from robostral.kinematics.codes import BAD_SHAPE, NOT_FINITE, OK
from robostral.oracle import count_violations

MASS, STIFFNESS = np.array([2.0, 2, 2, 0.1, 0.1, 0.1]), np.array([200.0, 200, 200, 10, 10, 10])
GAINS, MOST = admittance_gains(MASS, STIFFNESS), np.array([0.1, 0.1, 0.1, 0.3, 0.3, 0.3])


class Cell:
    def __init__(self, name: str = "ur5e", dt: float = 0.002) -> None:
        self.arm, self.dt = load_arm(name), dt
        self.q_ref, self.q_d = self.arm.home, self.arm.home
        self.room = admittance_workspace(self.arm.chain)

    def tick(self, wrench: np.ndarray, gains: np.ndarray = GAINS) -> int:
        args = self.arm.chain.model, gains, MOST, wrench, self.q_ref, self.dt, *self.room, self.q_d
        return admittance_kernel(*args)

    def tcp(self, q: np.ndarray) -> np.ndarray:
        return fk.tcp(self.arm.chain, q)


@kernel
def repeat(count, model, gains, most, wrench, q_ref, state, scratch, work, q_d):
    for _ in range(count):
        admittance_kernel(model, gains, most, wrench, q_ref, 0.002, state, scratch, work, q_d)


@pytest.mark.parametrize("name", ["ur5e", "panda"])
@pytest.mark.parametrize("dt", [0.001, 0.004])
def test_a_steady_push_moves_it_as_far_as_the_spring_says_and_it_comes_back(name: str, dt: float) -> None:
    cell = Cell(name, dt)
    assert cell.tick(np.zeros(6)) == OK
    assert cell.q_d == pytest.approx(cell.q_ref, abs=1e-12)
    push, began = np.array([4.0, -6.0, 8.0, 0.0, 0.0, 0.5]), cell.tcp(cell.q_ref)
    farthest = 0.0
    for _ in range(round(3.0 / dt)):
        assert cell.tick(push) == OK
        farthest = max(farthest, float(cell.tcp(cell.q_d)[2, 3] - began[2, 3]))
    T = cell.tcp(cell.q_d)
    assert T[:3, 3] - began[:3, 3] == pytest.approx(push[:3] / 200.0, abs=1e-6)
    assert math.atan2(*(T @ np.linalg.inv(began))[[1, 0], [0, 0]]) == pytest.approx(0.05, abs=1e-6)
    assert farthest <= 8.0 / 200.0 + 1e-6, "critically damped"
    for _ in range(round(4.0 / dt)):
        cell.tick(np.zeros(6))
    assert cell.q_d == pytest.approx(cell.q_ref, abs=1e-5)


def test_it_stops_at_its_bound_and_without_a_spring_it_stays() -> None:
    cell = Cell()
    free = GAINS.copy()
    free[2] = 0.0
    for _ in range(3000):
        assert cell.tick(np.array([50.0, 0, 0, 0, 0, 0]), free) == OK
    assert cell.room[0][OFFSET] == pytest.approx([0.1, 0, 0, 0, 0, 0])
    for _ in range(500):
        cell.tick(np.zeros(6), free)
    assert cell.room[0][OFFSET, 0] == pytest.approx(0.1)


def test_it_seeks_a_wanted_force() -> None:
    """Against a wall of 20 kN/m, wanted less measured force is the wrench: contact settles at the wanted force."""
    cell = Cell()
    gains = np.array([MASS, np.full(6, 900.0), np.zeros(6)])
    wall, wanted = cell.tcp(cell.q_ref)[2, 3] - 0.005, 10.0
    force = 0.0
    for _ in range(4000):
        force = 2e4 * max(wall - cell.tcp(cell.q_d)[2, 3], 0.0)
        assert cell.tick(np.array([0, 0, force - wanted, 0, 0, 0.0]), gains) == OK
    assert force == pytest.approx(wanted, rel=0.01)


def test_behind_the_guard_any_wrench_keeps_every_limit() -> None:
    cell, rng = Cell(), np.random.default_rng(0)
    guard = Guard(cell.arm.chain, cell.arm.limits, cell.dt)
    assert guard.reset(cell.arm.home) == Reason.PASSED
    log = [guard.q_c.copy()]
    for k in range(2000):
        wrench = rng.normal(0.0, 10.0, 6) * (MASS > 1.0) if k % 200 < 50 else np.zeros(6)
        assert cell.tick(wrench) == OK
        assert guard.step(cell.q_d) <= Reason.LIMITED
        log.append(guard.q_c.copy())
    found = count_violations(np.array(log), cell.dt, cell.arm.limits.array)
    assert {finding["violations"] for finding in found.values()} == {0}


def test_what_is_no_number_changes_nothing() -> None:
    cell = Cell()
    cell.tick(np.full(6, 3.0))
    before, state = cell.q_d.copy(), cell.room[0].copy()
    assert cell.tick(np.where(np.arange(6) == 2, math.nan, 0.0)) == NOT_FINITE
    assert cell.tick(np.zeros(5)) == BAD_SHAPE
    assert (cell.q_d == before).all()
    assert (cell.room[0] == state).all()


def test_it_does_not_allocate() -> None:
    _nrt_python.memsys_enable_stats()
    cell, push, spent = Cell(), np.full(6, 2.0), []
    for count in (1, 1, 1000):
        before = rtsys.get_allocation_stats().alloc
        repeat(count, cell.arm.chain.model, GAINS, MOST, push, cell.q_ref, *cell.room, cell.q_d)
        spent.append(rtsys.get_allocation_stats().alloc - before)
    assert spent[2] == spent[1]
