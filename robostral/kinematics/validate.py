"""Checks at the border: one typed error that names joint, value and bound; kernels check no more than shapes."""

import numpy as np
from numpy.typing import ArrayLike

from robostral.arm.chain import Chain, FloatArray
from robostral.arm.limits import Q_MAX, Q_MIN, Limits
from robostral.errors import RobostralError


class InvalidArray(RobostralError):
    """An array of the wrong shape, kind or memory order."""


class NotFinite(RobostralError):
    """A NaN or an infinity where a number is needed."""


class InvalidTransform(RobostralError):
    """A matrix that is no rigid transform."""


class JointOutOfLimit(RobostralError):
    """A joint position outside its limits.

    Args:
        joint: Name of the joint.
        value: Its position [rad].
        low: Lower bound [rad].
        high: Upper bound [rad].
    """

    def __init__(self, joint: str, value: float, low: float, high: float) -> None:
        self.joint, self.value, self.low, self.high = joint, value, low, high
        super().__init__(f"joint '{joint}' = {value:.6g} rad exceeds [{low:.6g}, {high:.6g}]")


def as_array(name: str, value: ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    """Return `value` as finite, C-contiguous float64 of a given shape, without a copy where it is that already.

    Raises:
        InvalidArray: Not numbers, or another shape.
        NotFinite: Holds a NaN or an infinity.
    """
    array = as_floats(name, value)
    if array.shape != shape:
        raise InvalidArray(f"{name} has shape {array.shape}, needs {shape}")
    if not np.isfinite(array).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise NotFinite(f"{name}{list(at)} = {array[at]}")
    return array


def as_floats(name: str, value: ArrayLike) -> FloatArray:
    """Return `value` as C-contiguous float64, without a copy where it is that already.

    Raises:
        InvalidArray: Not numbers.
    """
    if type(value) is np.ndarray and value.dtype == np.float64 and value.flags.c_contiguous:
        return value
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InvalidArray(f"{name} is ragged: {error}") from error
    if array.dtype.kind not in "fiu":
        raise InvalidArray(f"{name} has dtype {array.dtype}, needs real numbers")
    return np.ascontiguousarray(array, dtype=np.float64)


def as_joints(name: str, value: ArrayLike, chain: Chain) -> FloatArray:
    """Return one finite number per joint, shape (n,), or rows of them, shape (m, n).

    Raises:
        InvalidArray: Not numbers, or another shape.
        NotFinite: Names the joint.
    """
    array = as_floats(name, value)
    if array.ndim not in (1, 2) or array.shape[-1] != chain.n:
        raise InvalidArray(f"{name} has shape {array.shape}, needs ({chain.n},) or (m, {chain.n})")
    if not np.isfinite(array).all():
        at = np.argwhere(~np.isfinite(array))[0]
        raise NotFinite(f"{name} of joint '{chain.joint_names[at[-1]]}' = {array[tuple(at)]}{_row(array, at[0])}")
    return array


def as_states(chain: Chain, limits: Limits | None, **values: ArrayLike) -> tuple[FloatArray, ...]:
    """Return joint arrays of one common shape, the first of them (q) inside the limits where there are some.

    Raises:
        InvalidArray: Not numbers, or shapes that differ.
        NotFinite: Names the joint.
        JointOutOfLimit: Names joint, value and bound.
    """
    arrays = tuple(as_joints(name, value, chain) for name, value in values.items())
    for name, array in zip(values, arrays, strict=True):
        if array.shape != arrays[0].shape:
            raise InvalidArray(f"{name} has shape {array.shape}, needs {arrays[0].shape} like {next(iter(values))}")
    if limits is not None:
        check_limits(arrays[0], chain, limits)
    return arrays


def check_limits(q: FloatArray, chain: Chain, limits: Limits) -> None:
    """Check joint positions, shape (n,) or (m, n), against the limits.

    Raises:
        JointOutOfLimit: Names joint, value and bound.
    """
    low, high = limits.array[Q_MIN], limits.array[Q_MAX]
    outside = (q < low) | (q > high)
    if outside.any():
        at = np.argwhere(outside)[0]
        i = int(at[-1])
        raise JointOutOfLimit(chain.joint_names[i], float(q[tuple(at)]), float(low[i]), float(high[i]))


def _row(array: FloatArray, row: int) -> str:
    return f" (row {row})" if array.ndim == 2 else ""


def as_transform(name: str, value: ArrayLike) -> FloatArray:
    """Return a rigid transform, shape (4, 4), orthonormal within 1e-6.

    Raises:
        InvalidArray: Not numbers, or another shape.
        NotFinite: Holds a NaN or an infinity.
        InvalidTransform: Not rigid.
    """
    T = as_array(name, value, (4, 4))
    error = float(np.abs(T[:3, :3].T @ T[:3, :3] - np.eye(3)).max())
    if error > 1e-6 or np.linalg.det(T[:3, :3]) < 0.0 or not np.array_equal(T[3], (0.0, 0.0, 0.0, 1.0)):
        raise InvalidTransform(
            f"{name} is no rigid transform: R.T @ R differs from 1 by {error:.2g}, last row {T[3].tolist()}"
        )
    return T
