"""Motion that an operator asks for: moves, jogs, speed override, and holding on the path."""

import numpy as np
from numpy.typing import NDArray

from robostral.control.jog import Jog
from robostral.control.move import MoveRefused, MoveTo
from robostral.guard import Guard
from robostral.runtime.records import Answer

FloatArray = NDArray[np.float64]

SPEED_SLEW = 2.0
"""How fast the speed follows its override [1/s]."""


class Motion:
    """What the operator has set, and the set-points of a move or a jog.

    Args:
        guard: Every set-point goes through it.
        speed: Speed override at the start, (0, 1].

    Attributes:
        override: Speed override, (0, 1].
        held: Whether the path stands still until `resume`; the arm stays armed.
        speed: How fast path time passes now, 0 to 1.
        jog: What whoever holds the button asks for.
    """

    def __init__(self, guard: Guard, speed: float) -> None:
        self._guard = guard
        self.override = self.speed = speed
        self.held = False
        self.jog = Jog(guard)
        self._move: MoveTo | None = None
        self._q_d: FloatArray = np.zeros(guard.chain.n)

    def slew(self) -> None:
        """Let the speed follow the override, or zero while held, by one tick."""
        step = SPEED_SLEW * self._guard.dt
        wanted = 0.0 if self.held else self.override
        self.speed += min(max(wanted - self.speed, -step), step)

    def begin_move(self, q_goal: FloatArray) -> Answer:
        """Plan a move to joint positions [rad], shape (n,)."""
        try:
            self._move = MoveTo(self._guard, q_goal, self.speed)
        except MoveRefused:
            still = not (self._guard.dq_c.any() or self._guard.ddq_c.any())
            return Answer.BAD_VALUE if still else Answer.NOT_AT_REST
        return Answer.DONE

    def move(self) -> int:
        """Advance the guard by one tick of the move; return its `Reason`."""
        assert self._move is not None
        self._move.speed = self.speed
        return self._move.step()

    @property
    def arrived(self) -> bool:
        """Whether the move is at its goal and at rest."""
        return self._move is not None and self._move.done

    def follow_jog(self, now_ns: int) -> tuple[int, bool]:
        """Advance the guard by one tick of the jog; return its `Reason`, and whether the jog goes on."""
        going_on = self.jog.step(now_ns, self.speed, self._q_d)
        return self._guard.step(self._q_d), going_on
