"""A serial chain as one packed table of numbers: the first argument of every kinematics and dynamics kernel.

The table `model` has one row per joint and three more; `n = model.shape[0] - EXTRA_ROWS`.

| row | columns `ROT..ROT+8` (row-major), `POS..POS+2`, `TURN` | other columns |
|---|---|---|
| `i < n` | pose of joint i in link i-1 (link -1 is `base`) | `KIND`, and `MASS`, `COM`, `INERTIA` of link i |
| `n` | T_link_flange, seen from the last link | |
| `n + 1` | T_link_tcp, seen from the last link | |
| `n + 2` | `POS..POS+2`: gravity in `base` [m/s²] | |

Frame of link i: origin on the axis of joint i, z along it, moved with the joint. A revolute joint turns about z by
q [rad], a prismatic one slides along z by q [m].
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

ROT = 0
"""First of 9 columns: rotation, row by row."""
POS = 9
"""First of 3 columns: position [m]."""
KIND = 12
"""0.0 revolute, 1.0 prismatic."""
MASS = 13
"""Mass of the link [kg]."""
COM = 14
"""First of 3 columns: mass times centre of mass in the link frame [kg·m]."""
INERTIA = 17
"""First of 6 columns xx, xy, xz, yy, yz, zz: inertia about the origin of the link frame [kg·m²]."""
TURN = 23
"""0.0 if the rotation is the identity, 1.0 or -1.0 if a quarter turn about x, 2.0 for any other: spares products."""
COLUMNS = 24
EXTRA_ROWS = 3

GRAVITY = (0.0, 0.0, -9.80665)
"""Standard gravity in an upright `base` [m/s²]."""


@dataclass(frozen=True, eq=False)
class Chain:
    """The joints from `base` to `flange`, with a tcp; immutable.

    Attributes:
        joint_names: Moving joints from base to flange.
        link_names: Link after each joint; the last one carries the flange.
        base_name: Link that does not move; its frame is `base`.
        model: Packed read-only table, shape (n + 3, 23), see the module's table.
    """

    joint_names: tuple[str, ...]
    link_names: tuple[str, ...]
    base_name: str
    model: FloatArray

    @property
    def n(self) -> int:
        """Number of joints."""
        return len(self.joint_names)

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each joint's position: "rad", or "m" where it slides."""
        return tuple("m" if kind else "rad" for kind in self.model[: self.n, KIND])

    @property
    def T_flange_tcp(self) -> FloatArray:
        """Pose of the tcp in the flange, shape (4, 4)."""
        return invert(unpack(self.model[self.n])) @ unpack(self.model[self.n + 1])

    def with_tcp(self, T_flange_tcp: FloatArray) -> "Chain":
        """Return the same chain with another tcp.

        Args:
            T_flange_tcp: Pose of the tcp in the flange, shape (4, 4), a rigid transform.

        Raises:
            InvalidTransform: Not a finite rigid transform.
        """
        from robostral.kinematics.validate import as_transform

        model = self.model.copy()
        write_pose(model[self.n + 1], unpack(model[self.n]) @ as_transform("T_flange_tcp", T_flange_tcp))
        return replace(self, model=frozen(model))

    def with_payload(
        self, mass: float, com: Sequence[float], inertia: Sequence[float] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    ) -> "Chain":
        """Return the same chain with a load fixed to its flange: a tool, or a part that it holds.

        Args:
            mass: Mass of the load [kg].
            com: Its centre of mass in the flange [m], 3 numbers.
            inertia: xx, xy, xz, yy, yz, zz about that centre, along the flange's axes [kg·m²].
        """
        T = unpack(self.model[self.n])
        R, c = T[:3, :3], T[:3, :3] @ np.asarray(com, dtype=np.float64) + T[:3, 3]
        xx, xy, xz, yy, yz, zz = inertia
        S = R @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ R.T
        S += mass * (c @ c * np.eye(3) - np.outer(c, c))
        model = self.model.copy()
        model[self.n - 1, MASS] += mass
        model[self.n - 1, COM : COM + 3] += mass * c
        model[self.n - 1, INERTIA : INERTIA + 6] += S[np.triu_indices(3)]
        return replace(self, model=frozen(model))

    def with_gravity(self, gravity: Sequence[float]) -> "Chain":
        """Return the same chain under another gravity, for an arm on a wall or a ceiling.

        Args:
            gravity: Acceleration of free fall in `base` [m/s²], 3 numbers.
        """
        model = self.model.copy()
        model[self.n + 2, POS : POS + 3] = gravity
        return replace(self, model=frozen(model))


def rotation_rpy(rpy: Sequence[float]) -> FloatArray:
    """Compute a rotation from roll, pitch, yaw [rad] about fixed x, y, z, as URDF writes it; shape (3, 3)."""
    (cr, sr), (cp, sp), (cy, sy) = ((_snap(math.cos(a)), _snap(math.sin(a))) for a in rpy)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def _snap(value: float) -> float:
    # cos(pi/2) is 6e-17 in floating point; an exact zero keeps right-angled arms exactly right-angled.
    return 0.0 if abs(value) < 1e-15 else value


def transform(xyz: Sequence[float], rpy: Sequence[float]) -> FloatArray:
    """Build a pose from a position [m] and roll, pitch, yaw [rad]; shape (4, 4)."""
    T = np.eye(4)
    T[:3, :3] = rotation_rpy(rpy)
    T[:3, 3] = xyz
    return T


def invert(T_a_b: FloatArray) -> FloatArray:
    """Invert a rigid transform, shape (4, 4)."""
    T = np.eye(4)
    T[:3, :3] = T_a_b[:3, :3].T
    T[:3, 3] = -T_a_b[:3, :3].T @ T_a_b[:3, 3]
    return T


_TURNS = {0.0: (1.0, 0.0, 0.0, 1.0), 1.0: (0.0, -1.0, 1.0, 0.0), -1.0: (0.0, 1.0, -1.0, 0.0)}


def write_pose(row: FloatArray, T: FloatArray) -> None:
    """Write a pose (4, 4) into the pose columns and `TURN` of a model row, shape (24,)."""
    R = T[:3, :3]
    row[ROT : ROT + 9] = R.ravel()
    row[POS : POS + 3] = T[:3, 3]
    about_x = R[0, 0] == 1.0 and not R[0, 1:].any() and not R[1:, 0].any()
    row[TURN] = next((t for t, block in _TURNS.items() if about_x and (*R[1, 1:], *R[2, 1:]) == block), 2.0)


def unpack(row: FloatArray) -> FloatArray:
    """Rebuild a pose (4, 4) from the first 12 columns of a model row."""
    T = np.eye(4)
    T[:3, :3] = row[ROT : ROT + 9].reshape(3, 3)
    T[:3, 3] = row[POS : POS + 3]
    return T


def frozen(array: FloatArray) -> FloatArray:
    """Return a C-contiguous float64 copy that nobody can write to."""
    copy = np.array(array, dtype=np.float64, order="C")
    copy.setflags(write=False)
    return copy
