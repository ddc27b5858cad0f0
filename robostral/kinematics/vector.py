"""Three-vectors and rotations that live in registers, and sine with cosine: the words that the kernels are written in.

A vector is a tuple of 3, a rotation a tuple of 9, row by row. Everything here is inlined into its callers.
"""

import math

import numpy as np

from robostral.jit import inlined

Vec = tuple[float, float, float]
Rot = tuple[float, float, float, float, float, float, float, float, float]

ORIGIN = (0.0, 0.0, 0.0)
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

# pi/2 in three parts, the first two with 33 bits, so that k * part is exact for |k| < 2**20.
_HALF_PI_1, _HALF_PI_2, _HALF_PI_3 = 1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21
_TWO_OVER_PI = 0.6366197723675814
_MOST_QUARTERS = 2.0**20


@inlined
def sincos_kernel(angle: float) -> tuple[float, float]:
    """Compute sine and cosine of an angle [rad] to 1 unit in the last place; NaN beyond 1.6e6 rad.

    Note:
        Taylor series to order 16 on [-pi/4, pi/4] after Cody and Waite's reduction, in a third of the time of two calls
        of the C library.
    """
    k = np.rint(angle * _TWO_OVER_PI)
    r = ((angle - k * _HALF_PI_1) - k * _HALF_PI_2) - k * _HALF_PI_3
    r = r if abs(k) < _MOST_QUARTERS else math.nan
    z = r * r
    s = z * (-1 / 5040 + z * (1 / 362880 + z * (-1 / 39916800 + z * (1 / 6227020800 - z * (1 / 1307674368000)))))
    s = r + r * z * (-1 / 6 + z * (1 / 120 + s))
    c = z * (1 / 40320 + z * (-1 / 3628800 + z * (1 / 479001600 + z * (-1 / 87178291200 + z * (1 / 20922789888000)))))
    c = 1.0 - z * (0.5 + z * (-1 / 24 + z * (1 / 720 - c)))
    quarter = k - 4.0 * np.floor(0.25 * k)
    swap = quarter == 1.0 or quarter == 3.0
    sine, cosine = (c, s) if swap else (s, c)
    return -sine if quarter >= 2.0 else sine, -cosine if quarter == 1.0 or quarter == 2.0 else cosine


@inlined
def add(a: Vec, b: Vec) -> Vec:
    """Compute a + b."""
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


@inlined
def scale(s: float, a: Vec) -> Vec:
    """Compute s * a."""
    return s * a[0], s * a[1], s * a[2]


@inlined
def dot(a: Vec, b: Vec) -> float:
    """Compute the scalar product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@inlined
def cross(a: Vec, b: Vec) -> Vec:
    """Compute a x b."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@inlined
def rotate(R: Rot, v: Vec) -> Vec:
    """Compute R @ v."""
    return (
        R[0] * v[0] + R[1] * v[1] + R[2] * v[2],
        R[3] * v[0] + R[4] * v[1] + R[5] * v[2],
        R[6] * v[0] + R[7] * v[1] + R[8] * v[2],
    )


@inlined
def rotate_back(R: Rot, v: Vec) -> Vec:
    """Compute R.T @ v."""
    return (
        R[0] * v[0] + R[3] * v[1] + R[6] * v[2],
        R[1] * v[0] + R[4] * v[1] + R[7] * v[2],
        R[2] * v[0] + R[5] * v[1] + R[8] * v[2],
    )


@inlined
def turn_about_z(R: Rot, sine: float, cosine: float) -> Rot:
    """Compute R @ R_z(angle)."""
    return (
        cosine * R[0] + sine * R[1], cosine * R[1] - sine * R[0], R[2],
        cosine * R[3] + sine * R[4], cosine * R[4] - sine * R[3], R[5],
        cosine * R[6] + sine * R[7], cosine * R[7] - sine * R[6], R[8],
    )  # fmt: skip


@inlined
def quarter_turn(R: Rot, turn: float) -> Rot:
    """Compute R @ R_x(turn * pi/2) for `turn` = 0, 1 or -1."""
    if turn == 0.0:
        return R
    return R[0], turn * R[2], -turn * R[1], R[3], turn * R[5], -turn * R[4], R[6], turn * R[8], -turn * R[7]


@inlined
def product(A: Rot, B: Rot) -> Rot:
    """Compute A @ B."""
    return (
        A[0] * B[0] + A[1] * B[3] + A[2] * B[6],
        A[0] * B[1] + A[1] * B[4] + A[2] * B[7],
        A[0] * B[2] + A[1] * B[5] + A[2] * B[8],
        A[3] * B[0] + A[4] * B[3] + A[5] * B[6],
        A[3] * B[1] + A[4] * B[4] + A[5] * B[7],
        A[3] * B[2] + A[4] * B[5] + A[5] * B[8],
        A[6] * B[0] + A[7] * B[3] + A[8] * B[6],
        A[6] * B[1] + A[7] * B[4] + A[8] * B[7],
        A[6] * B[2] + A[7] * B[5] + A[8] * B[8],
    )


@inlined
def symmetric(S: tuple[float, float, float, float, float, float], v: Vec) -> Vec:
    """Compute S @ v for the symmetric matrix of xx, xy, xz, yy, yz, zz."""
    xx, xy, xz, yy, yz, zz = S
    return (
        xx * v[0] + xy * v[1] + xz * v[2],
        xy * v[0] + yy * v[1] + yz * v[2],
        xz * v[0] + yz * v[1] + zz * v[2],
    )
