"""A policy step in one kernel call is bit for bit what its ticks give one by one."""

import numpy as np
import pytest
from hostile import ARM, PANDA, START, limits_of
from numba.core.runtime import _nrt_python, rtsys
from numpy.typing import NDArray

from robostral.control.interpolate import follow
from robostral.control.move import MoveTo
from robostral.control.steps import policy_step
from robostral.guard import Guard, Reason, Workspace

FloatArray = NDArray[np.float64]

BOX = Workspace((-0.8, -0.6, 0.0), (0.8, 0.6, 0.9))
DT_STEP = 0.04


def armed(array: FloatArray, dt: float, tcp_speed: float) -> Guard:
    guard = Guard(ARM.chain, limits_of(array, tcp_speed), dt, BOX)
    assert guard.reset(START) == Reason.PASSED
    return guard


@pytest.mark.parametrize(("array", "dt"), [(ARM.limits.array, 0.002), (ARM.limits.array, 0.004), (PANDA, 0.001)])
def test_bit_identical_to_single_ticks(array: FloatArray, dt: float) -> None:
    rng = np.random.default_rng(11)
    whole, single = armed(array, dt, 0.8), armed(array, dt, 0.8)
    T = round(DT_STEP / dt)
    q_c, codes, q_d = np.zeros((T, 6)), np.zeros(T, np.int64), np.zeros(6)
    seen: set[int] = set()
    for _ in range(150):
        seam, late, speed = whole.q_c.copy(), rng.uniform(0.0, 0.03), rng.choice([0.3, 1.0])
        knots = seam + np.cumsum(rng.normal(0.0, 0.05, (3, 6)), axis=0)
        policy_step(whole, seam, knots, DT_STEP, late, q_c, codes, speed)
        for k in range(T):
            follow(single, seam, knots, DT_STEP, late + (k + 1) * (speed * dt), q_d, speed)
            assert single.step(q_d) == codes[k]
            assert (single.q_c == q_c[k]).all()
        seen |= set(codes)
        if codes[-1] > Reason.LIMITED and not whole.dq_c.any() and not whole.ddq_c.any():
            assert whole.reset(START) == single.reset(START) == Reason.PASSED
    assert (whole.counts == single.counts).all()
    assert np.array_equal(whole.state, single.state, equal_nan=True)
    assert {int(Reason.PASSED), int(Reason.LIMITED)} <= seen


def test_kernels_do_not_allocate() -> None:
    _nrt_python.memsys_enable_stats()
    guard, spent = armed(ARM.limits.array, 0.002, 0.3), []
    knots = START + np.cumsum(np.full((3, 6), 0.03), axis=0)
    for T in (10, 10, 1000):
        q_c, codes = np.zeros((T, 6)), np.zeros(T, np.int64)
        guard.reset(START)
        before = rtsys.get_allocation_stats().alloc
        policy_step(guard, START, knots, DT_STEP, 0.0, q_c, codes)
        guard.brake()
        spent.append(rtsys.get_allocation_stats().alloc - before)
    assert Reason.LIMITED in codes
    assert spent[2] == spent[1]
    before = rtsys.get_allocation_stats().alloc
    guard.reset(START)
    MoveTo(guard, START + 0.1)
    assert rtsys.get_allocation_stats().alloc > before + spent[1], "and the count counts"
