"""The self-test before arming: how late the loop wakes up while it stands locked, as a histogram of every wake-up."""

import numpy as np
from numpy.typing import NDArray

from robostral.runtime.records import Answer

BINS = 1000
"""Bins of 1 µs; the last one holds everything above."""
DURATION_S = 3.0
"""How long a loop in front of a real plant measures before it may be armed for the first time [s]."""


class SelfTest:
    """Every wake-up until the first arming.

    Args:
        dt_ns: Control period [ns].
        strict: Whether a bad result forbids arming: in front of a real plant, unless the site accepts it by name.
        duration_s: How long to measure [s].

    Attributes:
        histogram: Count of wake-ups per µs of lateness, shape (1000,).
        worst_ns: Latest wake-up [ns].

    Note:
        The worst is what matters, so there is no filter: OSADL's latency plots count every wake-up for the same reason.
    """

    def __init__(self, dt_ns: int, strict: bool, duration_s: float = DURATION_S) -> None:
        self.histogram: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self.worst_ns, self.count, self.over = 0, 0, False
        self._bound_ns, self._strict = dt_ns // 2, strict
        self._wanted = round(1e9 * duration_s / dt_ns)

    def note(self, wakeup_ns: int) -> None:
        """Count one wake-up."""
        self.histogram[min(max(wakeup_ns, 0) // 1000, BINS - 1)] += 1
        self.worst_ns = max(self.worst_ns, wakeup_ns)
        self.count += 1

    @property
    def late(self) -> bool:
        """Whether the worst wake-up was later than half a period."""
        return self.worst_ns > self._bound_ns

    def judge(self) -> Answer:
        """Say whether arming may go on."""
        if self._strict and not self.over:
            if self.count < self._wanted:
                return Answer.SELF_TEST
            if self.late:
                return Answer.LATE_WAKEUPS
        self.over = True
        return Answer.DONE
