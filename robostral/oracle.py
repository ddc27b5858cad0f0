"""An independent judge of commands as written: plain float64 finite differences, no code shared with the guard."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

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
    q_commands: FloatArray, dt: float, limits: FloatArray, starts: Sequence[int] = (0,)
) -> dict[str, Finding]:
    """Judge a log of position commands against the limits of an arm.

    Args:
        q_commands: Commands in the order in which they were written [rad], shape (T, n). The first row of each segment
            is the pose at rest that it starts from; the commands follow.
        dt: Nominal control period [s].
        limits: Rows q_min, q_max, dq, ddq, dddq (further rows are not read), shape (>= 5, n).
        starts: Rows at which a segment begins (a re-arm in a pose that was read anew). Before a new segment the last
            command counts as held, so a segment that does not end at rest is seen.

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
            np.abs(np.diff(_at_rest(commands[a:b], hold=b < len(commands)), n=order, axis=0))
            / dt**order
            / limits[order + 1]
            for a, b in pairwise(edges)
        ]
        found[name] = _judge(ratios)
    return found


def _at_rest(segment: FloatArray, hold: bool) -> FloatArray:
    """Put the pose at rest before a segment, and after it too if the next one begins with a new pose."""
    before = np.repeat(segment[:1], 3, axis=0)
    after = np.repeat(segment[-1:], 3 if hold else 0, axis=0)
    return np.concatenate([before, segment, after])


def _judge(ratios: list[FloatArray]) -> Finding:
    worst = max(float(np.max(ratio, initial=0.0)) for ratio in ratios)
    # A NaN is no greater than any limit: ask for "not within" instead of "beyond".
    return {"max_ratio": worst, "violations": sum(int((~(ratio <= 1.0 + TOLERANCE)).sum()) for ratio in ratios)}
