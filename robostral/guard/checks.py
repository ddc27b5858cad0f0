"""What the arm may not touch, as rows of the guard's table: its own links, and shapes to keep out of."""

from collections.abc import Sequence

import numpy as np

from robostral.arm.capsules import Capsules
from robostral.arm.chain import KIND, POS, Chain, FloatArray, unpack
from robostral.arm.limits import Limits
from robostral.errors import ConfigError
from robostral.guard.table import Reason
from robostral.keep_out import KeepOut, KeepOutPlane, KeepOutSphere
from robostral.kinematics.distance import CAPSULE, SHAPE_COLUMNS, box, plane, sphere

LINK_A, LINK_B, RADII, STOP, REASON, FIRST, LAST, SEGMENT, SHAPE, REACH = 0, 1, 2, 3, 4, 5, 6, 7, 13, 13 + SHAPE_COLUMNS
"""Columns of a check: link of a, link of b (-1: the base or the cell), sum of radii, the distance to keep [m], reason,
the joints FIRST to LAST that change the distance, ends of a's segment, b as in `robostral.kinematics.distance`, and the
greatest change of the distance per unit of each joint's motion."""

SELF_DISTANCE = 0.010
KEEP_OUT_DISTANCE = 0.020
"""Distances that are kept [m]. Ours; where MoveIt Servo begins to slow down, we have stopped."""
KEPT = {Reason.SELF_COLLISION: SELF_DISTANCE, Reason.KEEP_OUT: KEEP_OUT_DISTANCE}
LOOK_MARGIN = 0.002
"""Kept on top [m] wherever the guard looks: between two looks the distance shrinks by less."""


def pack_checks(
    chain: Chain, limits: Limits, capsules: Capsules | None = None, keep_out: Sequence[KeepOut] = ()
) -> FloatArray:
    """Pack one row for each two capsules that can touch, and for each capsule and shape; shape (c, 29 + n).

    A tcp off the flange adds the line from flange to tcp, against all shapes and the links before the last three.

    Raises:
        ConfigError: Shapes to keep out of, and no capsules.
    """
    if capsules is None:
        if keep_out:
            raise ConfigError("shapes to keep out of need an arm with capsules")
        return np.zeros((0, REACH + chain.n))
    links, array, pairs = capsules.links, capsules.array, capsules.pairs
    tool = np.concatenate([unpack(chain.model[chain.n])[:3, 3], unpack(chain.model[chain.n + 1])[:3, 3], [0.0]])
    if np.linalg.norm(tool[:3] - tool[3:6]) > LOOK_MARGIN:
        before = [(k, len(links)) for k in range(len(links)) if links[k] < chain.n - 3]
        links, array = np.append(links, chain.n - 1), np.vstack([array, tool])
        pairs = np.concatenate([pairs, np.array(before, dtype=np.int64).reshape(-1, 2)])
    rows = []
    for a, b in pairs.tolist():
        shape = np.zeros(SHAPE_COLUMNS)
        shape[0], shape[1:8] = CAPSULE, array[b]
        rows.append(_row(chain, limits, int(links[a]), array[a], int(links[b]), shape, Reason.SELF_COLLISION))
    for zone in keep_out:
        # The first link stands on the floor, and nothing the arm can do moves it away from there.
        first = 1 if isinstance(zone, KeepOutPlane) else 0
        for link, capsule in zip(links.tolist(), array, strict=True):
            if link >= first:
                rows.append(_row(chain, limits, link, capsule, -1, pack_shape(zone), Reason.KEEP_OUT))
    return np.array(rows).reshape(-1, REACH + chain.n)


def pack_shape(zone: KeepOut) -> FloatArray:
    """Pack a shape to keep out of as `robostral.kinematics.distance` does, shape (16,)."""
    if isinstance(zone, KeepOutSphere):
        return sphere(zone.center, zone.radius)
    if isinstance(zone, KeepOutPlane):
        return plane(zone.normal, zone.offset)
    T = np.eye(4)
    T[:3, 3] = np.add(zone.low, zone.high) / 2.0
    return box(T, np.subtract(zone.high, zone.low))


def _row(
    chain: Chain, limits: Limits, link_a: int, capsule: FloatArray, link_b: int, shape: FloatArray, reason: Reason
) -> FloatArray:
    row = np.zeros(REACH + chain.n)
    round_b = shape[0] == CAPSULE
    first, last = min(link_a, link_b) + 1, max(link_a, link_b)
    row[:SEGMENT] = link_a, link_b, capsule[6] + (shape[7] if round_b else 0.0), KEPT[reason], reason, first, last
    row[SEGMENT:SHAPE], row[SHAPE:REACH] = capsule[:6], shape
    extent_a = float(np.linalg.norm(capsule[:6].reshape(2, 3), axis=1).max())
    extent_b = float(np.linalg.norm(shape[1:7].reshape(2, 3), axis=1).max()) if round_b else np.inf
    upper, lower = (extent_a, extent_b) if link_a > link_b else (extent_b, extent_a)
    for i in range(first, last + 1):
        # The witness points of both bodies move by the same: the one nearer to the joint's axis bounds both.
        reach = min(upper + _way(chain, limits, i, last), lower + _way(chain, limits, first - 1, i))
        row[REACH + i] = 1.0 if chain.model[i, KIND] else reach
    return row


def _way(chain: Chain, limits: Limits, i: int, k: int) -> float:
    """Bound how far the frame of link k is from the frame of link i <= k [m]; -1 is `base`."""
    rows = chain.model[i + 1 : k + 1]
    slide = np.where(rows[:, KIND], np.abs(limits.array[:2, i + 1 : k + 1]).max(axis=0), 0.0)
    return float(np.linalg.norm(rows[:, POS : POS + 3], axis=1).sum() + slide.sum())
