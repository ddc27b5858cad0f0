"""A camera system that tells where a part is: noise on every pose, and an error that stays for the episode."""

import math

import numpy as np
from numpy.typing import NDArray

from robostral.jit import kernel
from robostral_sims.randomize import Plant
from robostral_sims.scene import Pose

FloatArray = NDArray[np.float64]


@kernel
def chain_kernel(a: FloatArray, b: FloatArray, out: FloatArray) -> None:
    """Compute the pose T_a @ T_b; poses are 7 numbers, p [m] and quat_wxyz."""
    aw, ax, ay, az = a[3], a[4], a[5], a[6]
    bw, bx, by, bz = b[3], b[4], b[5], b[6]
    x, y, z = b[0], b[1], b[2]
    tx, ty, tz = 2.0 * (ay * z - az * y), 2.0 * (az * x - ax * z), 2.0 * (ax * y - ay * x)
    out[0] = a[0] + x + aw * tx + ay * tz - az * ty
    out[1] = a[1] + y + aw * ty + az * tx - ax * tz
    out[2] = a[2] + z + aw * tz + ax * ty - ay * tx
    out[3] = aw * bw - ax * bx - ay * by - az * bz
    out[4] = aw * bx + ax * bw + ay * bz - az * by
    out[5] = aw * by - ax * bz + ay * bw + az * bx
    out[6] = aw * bz + ax * by - ay * bx + az * bw


@kernel
def apart_kernel(a: FloatArray, b: FloatArray, free_turn: bool) -> tuple[float, float]:
    """Compute how far two poses are apart: distance [m] and angle [rad], of the z axes alone for a `free_turn`."""
    distance = math.sqrt((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2)
    if not free_turn:
        along = a[3] * b[3] + a[4] * b[4] + a[5] * b[5] + a[6] * b[6]
        return distance, 2.0 * math.acos(min(1.0, abs(along)))
    along = 4.0 * (a[4] * a[6] + a[3] * a[5]) * (b[4] * b[6] + b[3] * b[5])
    along += 4.0 * (a[5] * a[6] - a[3] * a[4]) * (b[5] * b[6] - b[3] * b[4])
    along += (1.0 - 2.0 * (a[4] * a[4] + a[5] * a[5])) * (1.0 - 2.0 * (b[4] * b[4] + b[5] * b[5]))
    return distance, math.acos(min(1.0, max(-1.0, along)))


@kernel
def look_kernel(pose: FloatArray, bias: FloatArray, spread: FloatArray, noise: FloatArray, out: FloatArray) -> None:
    """Add the error bias + spread * noise, position [m] and yaw [rad], shape (4,) each, to a pose, 7 numbers."""
    for i in range(3):
        out[i] = pose[i] + (bias[i] + spread[i] * noise[i])
    half = 0.5 * (bias[3] + spread[3] * noise[3])
    w, z = math.cos(half), math.sin(half)
    out[3], out[4] = w * pose[3] - z * pose[6], w * pose[4] - z * pose[5]
    out[5], out[6] = w * pose[5] + z * pose[4], w * pose[6] + z * pose[3]


class Mounting:
    """Poses in an arm's `base` and in `world`.

    Args:
        base: Where the arm stands.

    Attributes:
        back: Pose of `world` in `base`, p [m] and quat_wxyz, shape (7,).
    """

    def __init__(self, base: Pose) -> None:
        w, x, y, z = base.quat_wxyz
        self._base, back = np.array([*base.p, w, x, y, z]), np.array([0.0, 0.0, 0.0, w, -x, -y, -z])
        self.back: FloatArray = np.empty(7)
        chain_kernel(back, np.array([*(-np.array(base.p)), 1.0, 0.0, 0.0, 0.0]), self.back)

    def in_base(self, part: FloatArray) -> FloatArray:
        """Return a pose in `base`: p [m] and quat_wxyz, shape (7,), from the first 7 numbers in `world`."""
        out = np.empty(7)
        chain_kernel(self.back, part, out)
        return out

    def in_world(self, pose: FloatArray) -> Pose:
        """Return a pose in `base`, shape (7,), as the scene has it, in `world`."""
        out = np.empty(7)
        chain_kernel(self._base, pose, out)
        x, y, z, *quat = out.tolist()
        return Pose((x, y, z), (quat[0], quat[1], quat[2], quat[3]))


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
        return self.tell(pose, self._rng.standard_normal(4))

    def tell(self, pose: FloatArray, noise: FloatArray) -> FloatArray:
        """Return what `look` does with noise that was drawn already, shape (4,)."""
        out = np.empty(7)
        look_kernel(pose, self._bias, self._spread, noise, out)
        return out
