"""The beat of a loop: absolute deadlines; after an overrun the path's time stretches, no tick is skipped or doubled."""

from collections.abc import Callable
from typing import Protocol

from robostral.runtime.realtime import Clock

LATE_NS = 200_000
"""A tick may wake this late and the grid of deadlines stays; later, and the grid moves with it."""


class Beating(Protocol):
    """What is paced."""

    dt_ns: int
    left: bool

    def tick(self, wakeup_ns: int, overruns: int) -> None:
        """Live through one period."""
        ...

    def leave(self) -> None:
        """Begin to leave; `left` tells when it is done."""
        ...


def run(loop: Beating, clock: Clock, leaving: Callable[[], bool]) -> None:
    """Tick until the loop has left.

    Two ticks never begin closer together than a period less `LATE_NS`, so the plant never sees two set-points in one
    of its own periods because we were late before.

    Args:
        loop: What to pace.
        clock: Where its deadlines live.
        leaving: Whether it was asked to leave.
    """
    deadline, overruns = clock.now_ns() + loop.dt_ns, 0
    while not loop.left:
        woke = clock.wait_until(deadline)
        if leaving():
            loop.leave()
        loop.tick(woke - deadline, overruns)
        following = max(deadline, woke - LATE_NS) + loop.dt_ns
        ended = clock.now_ns()
        if ended > following:
            overruns += 1
            following = ended + loop.dt_ns - LATE_NS
        deadline = following
