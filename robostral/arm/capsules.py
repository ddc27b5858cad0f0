"""The arm's shape for collision checks: capsules fixed to links, and the pairs that can touch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robostral.arm.chain import FloatArray


@dataclass(frozen=True, eq=False)
class Capsules:
    """Capsules of an arm: all points within `radius` of a segment; read-only.

    Attributes:
        links: Link index of each capsule, -1 for the base, shape (m,).
        array: Segment ends in the link frame and radius [m], columns p (3), q (3), radius, shape (m, 7).
        pairs: Indices of capsules that are checked against each other, shape (k, 2).
        excluded: Pairs of link names that are not checked, with the reason.
    """

    links: NDArray[np.int64]
    array: FloatArray
    pairs: NDArray[np.int64]
    excluded: dict[tuple[str, str], str]


def build_pairs(links: NDArray[np.int64], excluded: set[tuple[int, int]]) -> NDArray[np.int64]:
    """List the capsule pairs of links that are neither the same, nor neighbours, nor excluded; shape (k, 2)."""
    found = [
        (a, b)
        for a in range(len(links))
        for b in range(a + 1, len(links))
        if abs(int(links[a]) - int(links[b])) > 1
        and (int(min(links[a], links[b])), int(max(links[a], links[b]))) not in excluded
    ]
    return np.array(found, dtype=np.int64).reshape(-1, 2)
