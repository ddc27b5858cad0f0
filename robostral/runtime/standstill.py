"""How long the loop itself stood still of late: what tells a machine that froze from a peer that did not answer."""

WINDOW_S = 0.5
"""What happened is remembered for so long at least, and for twice as long at most [s]."""


class Standstill:
    """The longest that a tick began behind its period, over the last ticks.

    Args:
        dt_ns: Control period [ns].

    Note:
        Two windows take turns: the one that fills and the one that is full. Real-time: no allocation but of numbers.
    """

    def __init__(self, dt_ns: int) -> None:
        self._dt_ns, self._length = dt_ns, max(round(1e9 * WINDOW_S / dt_ns), 1)
        self._before_ns, self._count = 0, 0
        self._filling_ns = self._full_ns = 0

    def note(self, began_ns: int) -> None:
        """Take the time at which a tick began [ns]."""
        if self._before_ns:
            self._filling_ns = max(self._filling_ns, began_ns - self._before_ns - self._dt_ns)
        self._before_ns = began_ns
        self._count += 1
        if self._count >= self._length:
            self._full_ns, self._filling_ns, self._count = self._filling_ns, 0, 0

    @property
    def worst_ns(self) -> int:
        """Longest standstill of the two windows [ns]."""
        return max(self._filling_ns, self._full_ns)
