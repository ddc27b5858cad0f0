"""Arms, limits and poses that the tests of guard and control share."""

import numpy as np
from numpy.typing import NDArray

from robostral.arm import load_arm
from robostral.arm.chain import frozen
from robostral.arm.limits import Limits

FloatArray = NDArray[np.float64]

ARM = load_arm("ur5e")
START = np.array([0.3, -1.2, 1.4, -1.7, -1.5, 0.1])
"""A pose inside every limits table and workspace of these tests."""

PANDA = np.array(
    [
        [-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175],
        [2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525],
        [2.175, 2.175, 2.175, 2.175, 2.61, 2.61],
        [15, 7.5, 10, 12.5, 15, 20],
        [7500, 3750, 5000, 6250, 7500, 10000],
        [87, 87, 87, 87, 12, 12],
        [1000] * 6,
    ]
)
"""Limits of the Franka Emika Robot's first six joints (its data sheet of May 2026), on our chain."""


def limits_of(array: FloatArray, tcp_speed: float = 1e3) -> Limits:
    return Limits(frozen(array), tcp_speed, {})


def soft() -> FloatArray:
    """Limits of the ur5e with a jerk that needs 50 ms for full acceleration."""
    array = ARM.limits.array.copy()
    array[4] = 200.0
    return array


def changeable(table: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Copy a guard's table: to be changed, and as kernels see it; what is writable would be compiled anew."""
    copy = table.copy()
    seen = copy[:]
    seen.flags.writeable = False
    return copy, seen
