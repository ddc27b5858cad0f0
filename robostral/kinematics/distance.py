"""Signed distances of the arm's capsules to each other and to the shapes of a cell: the guard's collision model."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robostral.arm.arm import Arm
from robostral.arm.chain import EXTRA_ROWS, KIND, Chain, FloatArray
from robostral.jit import inlined, kernel
from robostral.kinematics.closest import load, segment_box, segment_plane, segment_segment, subtract
from robostral.kinematics.codes import BAD_SHAPE, OK
from robostral.kinematics.fk import frames_kernel
from robostral.kinematics.validate import InvalidArray, NotFinite, as_array, as_joints, as_transform
from robostral.kinematics.vector import Vec, add, cross, dot, rotate, rotate_back, scale

IntArray = NDArray[np.int64]

CAPSULE, BOX, PLANE = 0, 1, 2
SHAPE_COLUMNS = 16
"""Kind, then capsule: p (3), q (3), radius; box: rotation (9), centre (3), half size (3); plane: normal (3), offset."""

DISTANCE, NORMAL, POINT_A, POINT_B = 0, 1, 4, 7
RESULT_COLUMNS = 10
"""Signed distance [m], unit normal from b to a, witness point on a, witness point on b, in `base`."""


def sphere(center: ArrayLike, radius: float) -> FloatArray:
    """Make a sphere [m] of the cell, in `base`."""
    return capsule(center, center, radius)


def capsule(p: ArrayLike, q: ArrayLike, radius: float) -> FloatArray:
    """Make a capsule [m] of the cell from its segment's ends, in `base`."""
    return _shape(CAPSULE, as_array("p", p, (3,)), as_array("q", q, (3,)), [radius])


def box(T_base_box: ArrayLike, size: ArrayLike) -> FloatArray:
    """Make a box of the cell from the pose of its centre and its edge lengths [m]."""
    T = as_transform("T_base_box", T_base_box)
    return _shape(BOX, T[:3, :3].ravel(), T[:3, 3], as_array("size", size, (3,)) / 2)


def plane(normal: ArrayLike, offset: float) -> FloatArray:
    """Make the half space `normal . x <= offset` [m] of the cell, in `base`; the arm stays on the normal's side."""
    n = as_array("normal", normal, (3,))
    length = float(np.linalg.norm(n))
    if length == 0.0:
        raise InvalidArray("normal is zero")
    return _shape(PLANE, n / length, [offset / length])


def _shape(kind: int, *parts: ArrayLike) -> FloatArray:
    row = np.zeros(SHAPE_COLUMNS)
    values = np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])
    if not np.isfinite(values).all():
        raise NotFinite("a shape holds a number that is not finite")
    row[0] = kind
    row[1 : 1 + values.size] = values
    return row


@inlined
def _into_base(T: FloatArray, link: int, p: Vec) -> Vec:
    if link < 0:
        return p
    M = T[link]
    R = (M[0, 0], M[0, 1], M[0, 2], M[1, 0], M[1, 1], M[1, 2], M[2, 0], M[2, 1], M[2, 2])
    return add(rotate(R, p), (M[0, 3], M[1, 3], M[2, 3]))


@inlined
def _store(result: FloatArray, radius_a: float, radius_b: float, distance: float, n: Vec, a: Vec, b: Vec) -> None:
    """Move the witness points from the segments to the surfaces."""
    a, b = subtract(a, scale(radius_a, n)), add(b, scale(radius_b, n))
    result[0], result[1], result[2], result[3] = distance - radius_a - radius_b, n[0], n[1], n[2]
    result[4], result[5], result[6], result[7], result[8], result[9] = a[0], a[1], a[2], b[0], b[1], b[2]


@kernel
def _against_shape(p: Vec, u: Vec, radius: float, shape: FloatArray, result: FloatArray) -> None:
    if shape[0] == PLANE:
        distance, n, a, b = segment_plane(p, u, load(shape, 1), shape[4])
        _store(result, radius, 0.0, distance, n, a, b)
    else:
        R = (shape[1], shape[2], shape[3], shape[4], shape[5], shape[6], shape[7], shape[8], shape[9])
        center = load(shape, 10)
        distance, n, a, b = segment_box(
            rotate_back(R, subtract(p, center)), rotate_back(R, u), (shape[13], shape[14], shape[15])
        )
        _store(result, radius, 0.0, distance, rotate(R, n), add(center, rotate(R, a)), add(center, rotate(R, b)))


@kernel
def distance_kernel(
    model: FloatArray,
    links: IntArray,
    capsules: FloatArray,
    checks: IntArray,
    shapes: FloatArray,
    q: FloatArray,
    T: FloatArray,
    ends: FloatArray,
    results: FloatArray,
) -> int:
    """Compute the signed distance of every check.

    Args:
        model: `Chain.model`.
        links: Link of each capsule, -1 for the base and the cell, shape (m,).
        capsules: Capsules of the arm and the cell as in `Capsules.array`, shape (m, 7).
        checks: Capsule a, and capsule b or -1 - index of a shape, shape (c, 2).
        shapes: Boxes and planes of the cell, shape (k, 16).
        q: Joint positions [rad], shape (n,).
        T: Filled with the frames, shape (n + 2, 4, 4).
        ends: Filled with origin and direction of the segments in `base`, shape (m, 6).
        results: Filled, shape (c, 10), columns `DISTANCE`, `NORMAL`, `POINT_A`, `POINT_B`.

    Returns:
        OK, BAD_SHAPE or NOT_FINITE.
    """
    if results.shape[0] != checks.shape[0] or results.shape[1] != RESULT_COLUMNS or ends.shape[0] != capsules.shape[0]:
        return BAD_SHAPE
    code = frames_kernel(model, q, T)
    if code != OK:
        return code
    for k in range(capsules.shape[0]):
        p, end = _into_base(T, links[k], load(capsules[k], 0)), _into_base(T, links[k], load(capsules[k], 3))
        ends[k, 0], ends[k, 1], ends[k, 2] = p
        ends[k, 3], ends[k, 4], ends[k, 5] = subtract(end, p)
    for c in range(checks.shape[0]):
        a, b = checks[c, 0], checks[c, 1]
        p, u = load(ends[a], 0), load(ends[a], 3)
        if b < 0:
            _against_shape(p, u, capsules[a, 6], shapes[-1 - b], results[c])
        else:
            distance, n, x, y = segment_segment(p, u, load(ends[b], 0), load(ends[b], 3))
            _store(results[c], capsules[a, 6], capsules[b, 6], distance, n, x, y)
    return OK


@kernel
def gradient_kernel(
    model: FloatArray, T: FloatArray, link_a: int, link_b: int, result: FloatArray, gradient: FloatArray
) -> int:
    """Compute the gradient of a distance with respect to q.

    Args:
        model: `Chain.model`.
        T: Frames of `distance_kernel`, shape (n + 2, 4, 4).
        link_a: Link of capsule a.
        link_b: Link of capsule b, -1 for the base or a shape of the cell.
        result: Row of the check, shape (10,).
        gradient: Filled [m/rad], shape (n,).

    Returns:
        OK or BAD_SHAPE.
    """
    n = model.shape[0] - EXTRA_ROWS
    if gradient.shape[0] != n or result.shape[0] != RESULT_COLUMNS:
        return BAD_SHAPE
    normal = load(result, NORMAL)
    for i in range(n):
        M, gradient[i] = T[i], 0.0
        z, origin = (M[0, 2], M[1, 2], M[2, 2]), (M[0, 3], M[1, 3], M[2, 3])
        for side in range(2):
            link = link_b if side else link_a
            if i <= link:
                arm = subtract(load(result, POINT_B if side else POINT_A), origin)
                rate = dot(normal, cross(z, arm) if model[i, KIND] == 0.0 else z)
                gradient[i] += -rate if side else rate
    return OK


class Distances:
    """Distances of one arm in one cell, with everything allocated once.

    Args:
        arm: Arm; its base's capsules are held against its own links only.
        shapes: Shapes of the cell from `sphere`, `capsule`, `box` and `plane`.
        chain: Chain to use instead of the arm's own.

    Attributes:
        names: What each check holds against what, shape (c,).
        checks: Capsule a, and capsule b or -1 - index of a box or plane, shape (c, 2).
        results: Rows of the last `compute`, shape (c, 10).
    """

    def __init__(self, arm: Arm, shapes: Sequence[FloatArray] = (), chain: Chain | None = None) -> None:
        self.chain = arm.chain if chain is None else chain
        rows = np.array(shapes).reshape(-1, SHAPE_COLUMNS)
        self.arm_capsules = len(arm.capsules.links)
        round_ones, self.shapes = rows[rows[:, 0] == CAPSULE], rows[rows[:, 0] != CAPSULE]
        self.links: IntArray = np.concatenate([arm.capsules.links, np.full(len(round_ones), -1)])
        self.capsules: FloatArray = np.concatenate([arm.capsules.array, round_ones[:, 1:8]])
        others = [*range(self.arm_capsules, len(self.links)), *(-1 - k for k in range(len(self.shapes)))]
        outside = [(int(a), other) for a in np.flatnonzero(arm.capsules.links >= 0) for other in others]
        self.checks: IntArray = np.concatenate([arm.capsules.pairs, np.array(outside, dtype=np.int64).reshape(-1, 2)])
        self.names = tuple(f"{self._name(a)} - {self._name(b)}" for a, b in self.checks.tolist())
        self.results: FloatArray = np.full((len(self.checks), RESULT_COLUMNS), math.nan)
        self.T: FloatArray = np.zeros((self.chain.n + 2, 4, 4))
        self.ends: FloatArray = np.zeros((len(self.capsules), 6))

    def compute(self, q: ArrayLike) -> FloatArray:
        """Compute all distances [m] at q [rad], shape (n,); returns a view of shape (c,), valid until the next call.

        Raises:
            InvalidArray: A wrong shape or kind.
            NotFinite: A NaN or an infinity; names the joint.
        """
        position = as_joints("q", q, self.chain)
        if position.ndim != 1:
            raise InvalidArray(f"q has shape {position.shape}, needs ({self.chain.n},)")
        fixed = (self.chain.model, self.links, self.capsules, self.checks, self.shapes)
        distance_kernel(*fixed, position, self.T, self.ends, self.results)
        return self.results[:, DISTANCE]

    def gradient(self, check: int) -> FloatArray:
        """Compute the gradient [m/rad] of a check's distance at the last q, shape (n,).

        Where a capsule's axis itself is inside a box, two faces are equally far from its deepest point, and this is the
        gradient with respect to one of them: a way out, not the derivative.
        """
        a, b = self.checks[check].tolist()
        gradient = np.empty(self.chain.n)
        link_b = -1 if b < 0 else int(self.links[b])
        gradient_kernel(self.chain.model, self.T, int(self.links[a]), link_b, self.results[check], gradient)
        return gradient

    def _name(self, index: int) -> str:
        if index < 0:
            return f"{'plane' if self.shapes[-1 - index, 0] == PLANE else 'box'} {-1 - index}"
        if index >= self.arm_capsules:
            return f"capsule {index - self.arm_capsules}"
        link = int(self.links[index])
        return self.chain.base_name if link < 0 else self.chain.link_names[link]
