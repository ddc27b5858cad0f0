"""The chunk that is being executed: its set-points, how far along it the arm is, and where the next one joins."""

import math

import numpy as np
from numpy.typing import NDArray

from robostral.control.interpolate import follow
from robostral.guard import Guard
from robostral.kinematics.codes import OK
from robostral.serving.wire import NONE_CONSUMED
from robostral.signals import Signals

FloatArray = NDArray[np.float64]

REST_RATE = 5.0
"""How fast the speed of path time changes where a chunk begins and ends at rest [1/s]: 0.2 s from 0 to 1. A UR5e passes
the end of Reach's fastest chunk by 2 % of the way; at 10 it lacks the acceleration, and passes it by 29 %."""


class ChunkPath:
    """Set-points over path time, which the speed override stretches.

    Args:
        signals: Turns chunks into set-points.
        guard: Whose last command the path goes on from, at every tick and at every seam.
        horizon: Steps of a chunk.
        step_s: Length of a chunk step [s].

    Attributes:
        seq: Number of the chunk that is followed; 0 for none.
        t_obs_ns: When its observation was taken [ns].
    """

    def __init__(self, signals: Signals, guard: Guard, horizon: int, step_s: float) -> None:
        self._signals, self._guard, self._step_s, self._dt = signals, guard, step_s, guard.dt
        self._knots: FloatArray = np.zeros((horizon, len(guard.q_c)))
        self._q_seam: FloatArray = np.zeros(len(guard.q_c))
        self._steps, self._time_s, self._before = 0, 0.0, 0.0
        self.seq = self.t_obs_ns = 0

    def clear(self) -> None:
        """Forget the chunk."""
        self._before, self._steps, self._time_s, self.seq = self.consumed, 0, 0.0, 0

    @property
    def consumed(self) -> float:
        """Count of chunk steps consumed so far, of all chunks; it stands still while nothing is followed."""
        return self._before + self._time_s / self._step_s

    @property
    def index(self) -> int:
        """Index of the last chunk step that was begun, as the wire carries it."""
        return int(self._time_s / self._step_s) if self.seq else NONE_CONSUMED

    @property
    def used_up(self) -> bool:
        """Whether a chunk was followed to its end."""
        return self.seq != 0 and self._time_s >= self._steps * self._step_s - 0.5 * self._dt

    def slowed(self, speed: float) -> float:
        """Return the speed, at most `speed`, that path time has by now between standstill at both ends of the chunk."""
        left_s = self._steps * self._step_s - self._time_s
        return min(speed, math.sqrt(2.0 * REST_RATE * max(min(self._time_s + self._dt, left_s), 0.0)))

    def adopt(self, chunk: NDArray[np.float32], skip: int, t_obs_ns: int, seq: int) -> bool:
        """Follow another chunk from the last command on; return False, and keep the old one, if nothing of it is left.

        Args:
            chunk: Shape (horizon, n).
            skip: Steps of it that the arm has lived through already, measured as consumed since its observation.
            t_obs_ns: When its observation was taken [ns].
            seq: Its number.
        """
        steps = len(chunk) - max(skip, 0)
        q_c = self._guard.q_c
        if steps <= 0 or self._signals.knots(chunk[len(chunk) - steps :], q_c, self._knots[:steps]) != OK:
            return False
        self._q_seam[:] = q_c
        self._before, self._steps, self._time_s = self.consumed, steps, 0.0
        self.seq, self.t_obs_ns = seq, t_obs_ns
        return True

    def set_point(self, speed: float, q_d: FloatArray) -> bool:
        """Advance by one tick and fill `q_d` [rad], shape (n,); return False, and stand, while there is no chunk."""
        if self.seq == 0:
            q_d[:] = self._guard.q_c
            return False
        self._time_s += speed * self._dt
        follow(self._guard, self._q_seam, self._knots[: self._steps], self._step_s, self._time_s, q_d, speed)
        return True
