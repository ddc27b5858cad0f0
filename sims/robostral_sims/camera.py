"""A camera system that tells where a part is: noise on every pose, and an error that stays for the episode."""

import math

import numpy as np
from numpy.typing import NDArray

from robostral_sims.randomize import Plant
from robostral_sims.scene import Pose

FloatArray = NDArray[np.float64]


def in_base(base: Pose, part: FloatArray) -> FloatArray:
    """Return the pose of a part in `base`: p [m] and quat_wxyz, shape (7,), from the first 7 numbers in `world`."""
    back = _conjugate(base.quat_wxyz)
    out = np.empty(7)
    out[:3] = rotate(back, part[:3] - base.p)
    out[3:] = multiply(back, part[3:7])
    return out


def in_world(base: Pose, pose: FloatArray) -> Pose:
    """Return a pose in `base`, shape (7,), as the scene has it, in `world`."""
    p = rotate(base.quat_wxyz, pose[:3]) + base.p
    w, x, y, z = multiply(base.quat_wxyz, pose[3:]).tolist()
    return Pose((float(p[0]), float(p[1]), float(p[2])), (w, x, y, z))


def multiply(a: tuple[float, ...] | FloatArray, b: tuple[float, ...] | FloatArray) -> FloatArray:
    """Multiply two quaternions, scalar first."""
    (aw, ax, ay, az), (bw, bx, by, bz) = a, b
    return np.array(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ]
    )


def rotate(quat_wxyz: tuple[float, ...] | FloatArray, p: FloatArray) -> FloatArray:
    """Turn a vector, shape (3,), by a unit quaternion."""
    w, x, y, z = quat_wxyz
    u = np.array([x, y, z])
    t = 2.0 * _cross(u, p)
    return np.asarray(p + w * t + _cross(u, t))


def _cross(a: FloatArray, b: FloatArray) -> FloatArray:
    (ax, ay, az), (bx, by, bz) = a.tolist(), b.tolist()
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


def _conjugate(quat_wxyz: tuple[float, ...]) -> tuple[float, ...]:
    w, x, y, z = quat_wxyz
    return w, -x, -y, -z


class PartCamera:
    """What a camera system tells of a part's pose, with the errors that an episode's plant has.

    Args:
        plant: Its figures `bias_x`, `bias_y`, `bias_z`, `bias_yaw`, `noise` and `noise_yaw`.
        rng: For the noise of every pose.
    """

    def __init__(self, plant: Plant, rng: np.random.Generator) -> None:
        self._bias = np.array([plant["bias_x"], plant["bias_y"], plant["bias_z"], plant["bias_yaw"]])
        self._spread = np.array([plant["noise"]] * 3 + [plant["noise_yaw"]])
        self._rng = rng

    def look(self, pose: FloatArray) -> FloatArray:
        """Return the pose in `base` that is told of a part at `pose`, p [m] and quat_wxyz, shape (7,) both."""
        error = self._bias + self._spread * self._rng.standard_normal(4)
        out = np.empty(7)
        out[:3] = pose[:3] + error[:3]
        out[3:] = multiply((math.cos(0.5 * error[3]), 0.0, 0.0, math.sin(0.5 * error[3])), pose[3:])
        return out
