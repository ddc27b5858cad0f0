"""An independent judge of commands as written: plain float64 finite differences, no code shared with the guard."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from robostral.arm.arm import Arm
from robostral.arm.chain import KIND, Chain, unpack

FloatArray = NDArray[np.float64]

_REST = 3
TOLERANCE = 1e-9
"""A value counts as a violation from limit * (1 + TOLERANCE) on."""


class Finding(TypedDict):
    """What was found for one quantity.

    Attributes:
        max_ratio: Greatest |value| / limit; for `q`, distance from the middle of the range over half the range.
        violations: How many values of all joints and ticks exceed the limit, or are not finite.
    """

    max_ratio: float
    violations: int


def count_violations(
    q_commands: FloatArray, dt: float, limits: FloatArray, starts: Sequence[int] = (0,), gaps: Sequence[int] = ()
) -> dict[str, Finding]:
    """Judge a log of position commands against the limits of an arm.

    Args:
        q_commands: Commands in the order in which they were written [rad], shape (T, n). The first row of each segment
            is the pose at rest that it starts from; the commands follow.
        dt: Nominal control period [s].
        limits: Rows q_min, q_max, dq, ddq, dddq (further rows are not read), shape (>= 5, n).
        starts: Rows at which a segment begins (a re-arm in a pose that was read anew). Before a new segment the last
            command counts as held, so a segment that does not end at rest is seen.
        gaps: Rows before which others are missing; what would be taken across is not judged.

    Returns:
        One finding for each of `q`, `dq`, `ddq`, `dddq`.

    Raises:
        ValueError: The shapes do not fit, or `starts` does not begin with 0 and rise.
    """
    commands = np.asarray(q_commands, dtype=np.float64)
    edges = [*starts, len(commands)]
    if commands.ndim != 2 or limits.shape[0] < 5 or limits.shape[1] != commands.shape[1]:
        raise ValueError(f"commands {commands.shape} and limits {limits.shape} do not fit")
    if edges[0] != 0 or any(a >= b for a, b in pairwise(edges)):
        raise ValueError("starts must begin with 0 and rise within the log")
    middle, half = (limits[1] + limits[0]) / 2.0, (limits[1] - limits[0]) / 2.0
    found = {"q": _judge([np.abs(commands - middle) / half])}
    for order, name in ((1, "dq"), (2, "ddq"), (3, "dddq")):
        ratios = [
            np.abs(_differences(_at_rest(commands[a:b], b < len(commands)), order, [g - a for g in gaps if a < g < b]))
            / dt**order
            / limits[order + 1]
            for a, b in pairwise(edges)
        ]
        found[name] = _judge(ratios)
    return found


def _differences(rows: FloatArray, order: int, gaps: Sequence[int]) -> FloatArray:
    """Take differences of a segment that begins with `_REST` rows at rest, but none across a gap."""
    found = np.diff(rows, n=order, axis=0)
    across = {_REST + gap - back for gap in gaps for back in range(1, order + 1)}
    return np.delete(found, [i for i in across if 0 <= i < len(found)], axis=0)


def count_taper_violations(q_commands: FloatArray, dt: float, limits: FloatArray, taper: FloatArray) -> Finding:
    """Judge a log of one segment against a vendor's speed limit near the position limits.

    Args:
        q_commands: Commands [rad], shape (T, n).
        dt: Nominal control period [s].
        limits: Rows q_min, q_max, dq (further rows are not read), shape (>= 3, n).
        taper: Rows offset [rad/s] and deceleration [rad/s²], shape (2, n), see `robostral.arm.limits.Limits`.

    Returns:
        The finding; the limit is that at the position commanded, in the direction of the motion.
    """
    q, dq = q_commands[1:], np.diff(q_commands, axis=0) / dt
    ahead = np.where(dq > 0.0, limits[1] - q, q - limits[0])
    most = np.sqrt(2.0 * taper[1] * np.maximum(ahead, 0.0)) - taper[0]
    most = np.clip(most, 1e-12, limits[2])
    return _judge([np.abs(dq) / most])


def count_torque_violations(tau_commands: FloatArray, dt: float, limits: FloatArray) -> dict[str, Finding]:
    """Judge a log of torque commands.

    Args:
        tau_commands: Commands [N·m], shape (T, n).
        dt: Nominal control period [s].
        limits: Limits with the rows tau and dtau as the last two, shape (7, n).

    Returns:
        One finding for each of `tau` and `dtau`.
    """
    rate = np.abs(np.diff(tau_commands, axis=0)) / dt
    return {"tau": _judge([np.abs(tau_commands) / limits[5]]), "dtau": _judge([rate / limits[6]])}


def link_poses(chain: Chain, q: FloatArray) -> FloatArray:
    """Compute where all links are, by plain products of matrices.

    Args:
        chain: The arm.
        q: Joint positions [rad], shape (T, n).

    Returns:
        Poses in `base`, shape (T, n + 1, 4, 4); the last one is the base itself, so that index -1 finds it.
    """
    T = np.broadcast_to(np.eye(4), (len(q), 4, 4))
    poses = np.empty((len(q), chain.n + 1, 4, 4))
    poses[:, chain.n] = T
    for i in range(chain.n):
        move = np.broadcast_to(np.eye(4), (len(q), 4, 4)).copy()
        if chain.model[i, KIND] != 0.0:
            move[:, 2, 3] = q[:, i]
        else:
            c, s = np.cos(q[:, i]), np.sin(q[:, i])
            move[:, 0, 0], move[:, 0, 1], move[:, 1, 0], move[:, 1, 1] = c, -s, s, c
        T = T @ unpack(chain.model[i]) @ move
        poses[:, i] = T
    return poses


def self_distances(arm: Arm, q: FloatArray, chain: Chain | None = None) -> FloatArray:
    """Compute the least distance of all pairs of capsules that can touch [m], for q of shape (T, n); shape (T,)."""
    poses, capsules = link_poses(chain or arm.chain, q), arm.capsules
    ends = [_placed(poses[:, link], row) for link, row in zip(capsules.links, capsules.array, strict=True)]
    least = np.full(len(q), np.inf)
    for a, b in capsules.pairs:
        gap = _segments_apart(*ends[a], *ends[b]) - capsules.array[a, 6] - capsules.array[b, 6]
        least = np.minimum(least, gap)
    return least


def sphere_distances(arm: Arm, q: FloatArray, center: Sequence[float], radius: float) -> FloatArray:
    """Compute the least distance of all moving capsules to a ball in `base` [m], for q of shape (T, n); shape (T,)."""
    poses, least = link_poses(arm.chain, q), np.full(len(q), np.inf)
    for link, row in zip(arm.capsules.links, arm.capsules.array, strict=True):
        if link >= 0:
            a, b = _placed(poses[:, link], row)
            least = np.minimum(least, _point_apart(np.broadcast_to(np.array(center), a.shape), a, b) - row[6] - radius)
    return least


def _placed(T: FloatArray, capsule: FloatArray) -> tuple[FloatArray, FloatArray]:
    return T[:, :3, :3] @ capsule[:3] + T[:, :3, 3], T[:, :3, :3] @ capsule[3:6] + T[:, :3, 3]


def _point_apart(x: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    u = b - a
    share = ((x - a) * u).sum(axis=1) / np.maximum((u * u).sum(axis=1), 1e-300)
    return np.asarray(np.linalg.norm(x - a - np.clip(share, 0.0, 1.0)[:, None] * u, axis=1))


def _segments_apart(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> FloatArray:
    """Measure between segments: at an end of one of them, or where the common normal of both lines meets both."""
    ends = (_point_apart(a, c, d), _point_apart(b, c, d), _point_apart(c, a, b), _point_apart(d, a, b))
    u, v, w = b - a, d - c, c - a
    normal = np.cross(u, v)
    square = np.maximum((normal * normal).sum(axis=1), 1e-300)
    s, t = ((np.cross(w, other) * normal).sum(axis=1) / square for other in (v, u))
    inside = (s > 0.0) & (s < 1.0) & (t > 0.0) & (t < 1.0)
    between = np.abs((w * normal).sum(axis=1)) / np.sqrt(square)
    return np.asarray(np.minimum(np.minimum.reduce(ends), np.where(inside, between, np.inf)))


def _at_rest(segment: FloatArray, hold: bool) -> FloatArray:
    """Put the pose at rest before a segment, and after it too if the next one begins with a new pose."""
    before = np.repeat(segment[:1], _REST, axis=0)
    after = np.repeat(segment[-1:], _REST if hold else 0, axis=0)
    return np.concatenate([before, segment, after])


def _judge(ratios: list[FloatArray]) -> Finding:
    worst = max(float(np.max(ratio, initial=0.0)) for ratio in ratios)
    # A NaN is no greater than any limit: ask for "not within" instead of "beyond".
    return {"max_ratio": worst, "violations": sum(int((~(ratio <= 1.0 + TOLERANCE)).sum()) for ratio in ratios)}
