"""Guarded point-to-point motion: straight in joint space, jerk-limited, all joints in step, at a speed that may change.

Note:
    The path parameter s runs from 0 to 1 under the guard's own law for one joint (`robostral.guard.stop`), with the
    limits of the joint that needs most: fastest approach whose stop ends at 1. Chosen over the `ruckig` library: the
    law is there already, lands on the goal bit for bit, and lets the speed override change at every tick.
"""

import math

import numpy as np

from robostral.arm.chain import FloatArray
from robostral.errors import RobostralError
from robostral.guard import Guard, Reason
from robostral.guard import table as at
from robostral.guard.braking import distance
from robostral.guard.stop import landing, limit_step
from robostral.jit import allocating, kernel
from robostral.kinematics.fk import tcp_kernel

SHARE = 0.95
"""Share of the limits that a move uses, so that the guard has nothing to change."""

SAMPLES = 400
"""Chords along the path of which the tcp's greatest speed is taken."""

S, U, X, V, A, D = range(6)
"""Entries of a plan: path parameter, its first and second difference per tick, and their limits (D: of the change)."""


class MoveRefused(RobostralError):
    """A move that may not begin: the arm moves or is locked, or the goal is out of range."""


@kernel
def plan_kernel(model: FloatArray, table: FloatArray, q: FloatArray, q_goal: FloatArray, plan: FloatArray) -> None:
    """Fill `plan`, shape (6,), for the straight way from `q` to `q_goal`, shape (n,)."""
    plan[:] = (0.0, 0.0, 0.0, math.inf, math.inf, math.inf)
    for i in range(q.shape[0]):
        way = abs(q_goal[i] - q[i])
        if way > 0.0:
            plan[V] = min(plan[V], SHARE * table[at.V, i] / way)
            plan[A] = min(plan[A], SHARE * table[at.A, i] / way)
            plan[D] = min(plan[D], SHARE * table[at.D, i] / way)
    plan[V] = min(plan[V], SHARE * table[at.FIGURE, at.TCP_STEP] / tcp_rate(model, table, q, q_goal))


@allocating
def tcp_rate(model: FloatArray, table: FloatArray, q: FloatArray, q_goal: FloatArray) -> float:
    """Bound the tcp's motion per unit of the path parameter [m]: greatest chord, and what the path may turn in one."""
    T, T_before, q_s = np.empty((4, 4)), np.empty((4, 4)), np.empty(q.shape[0])
    turn, sweep, chord = 0.0, 1e-12, 0.0
    for i in range(q.shape[0]):
        turn += abs(q_goal[i] - q[i])
        sweep += table[at.LEVER, i] * abs(q_goal[i] - q[i])
    tcp_kernel(model, q, T_before)
    for k in range(1, SAMPLES + 1):
        for i in range(q.shape[0]):
            q_s[i] = q[i] + (q_goal[i] - q[i]) * k / SAMPLES
        tcp_kernel(model, q_s, T)
        chord = max(chord, distance(T_before.reshape(16), T.reshape(16)))
        T_before[:] = T
    return min(sweep, SAMPLES * chord + 0.5 * turn * sweep / SAMPLES)


@kernel
def advance_kernel(plan: FloatArray, speed: float) -> float:
    """Advance the path parameter by one tick towards `speed` times its greatest rate; return it."""
    s, u, x = plan[S], plan[U], plan[X]
    rest = 1.0 - s
    if abs(rest - u - x) <= plan[D] and abs(2.0 * rest - u) <= plan[D] and rest <= plan[D] and rest <= plan[A]:
        following = 1.0
    else:
        error = u - speed * plan[V]
        wish = -math.copysign(min(landing(abs(error), plan[D]), plan[A]), error)
        wish = min(max(wish, x - plan[D]), x + plan[D])
        following, _ = limit_step(s, u, x, s + (u + wish), -1.0, 1.0, plan[V], plan[A], plan[D], 0.0, 0.0)
    plan[S], plan[U] = following, following - s
    plan[X] = plan[U] - u
    return following


class MoveTo:
    """One move to a joint position, tick by tick through the guard.

    Args:
        guard: Guard of the arm, at rest.
        q_goal: Goal [rad], shape (n,).
        speed: Speed override, 0 (stand still on the path) to 1.

    Attributes:
        speed: Speed override; may be set at any time, the change is jerk-limited.

    Raises:
        MoveRefused: The arm moves or is locked, or the goal is not finite or outside the joints' range.
    """

    def __init__(self, guard: Guard, q_goal: FloatArray, speed: float = 1.0) -> None:
        low, high = (guard.table[row, : guard.chain.n] for row in (at.LOW, at.HIGH))
        if guard.reason != Reason.PASSED or guard.dq_c.any() or guard.ddq_c.any():
            raise MoveRefused(f"a move begins at rest and armed; the guard says {guard.reason.name}")
        goal = np.array(q_goal, dtype=np.float64)
        if goal.shape != low.shape:
            raise MoveRefused(f"goal has the shape {goal.shape}, the arm needs {low.shape}")
        for name, value, least, most in zip(guard.chain.joint_names, goal, low, high, strict=True):
            if not least <= value <= most:
                raise MoveRefused(f"goal: joint '{name}' = {value:.4f} is outside [{least:.4f}, {most:.4f}]")
        self.speed = speed
        self._guard, self._begin, self._goal = guard, guard.q_c.copy(), goal
        self._way, self._q_d, self._plan = goal - self._begin, goal.copy(), np.zeros(6)
        plan_kernel(guard.chain.model, guard.table, self._begin, goal, self._plan)

    @property
    def done(self) -> bool:
        """Whether the last command is the goal, bit for bit, and at rest."""
        guard = self._guard
        return bool((guard.q_c == self._goal).all() and not guard.dq_c.any() and not guard.ddq_c.any())

    @property
    def progress(self) -> float:
        """How far along the path, 0 to 1."""
        return float(self._plan[S])

    def step(self) -> int:
        """Advance the guard by one tick of the move; return its `Reason`."""
        s = 1.0
        if self._way.any():
            s = advance_kernel(self._plan, min(max(float(self.speed), 0.0), 1.0))
        if s == 1.0:
            self._q_d[:] = self._goal
        else:
            np.multiply(self._way, s, out=self._q_d)
            self._q_d += self._begin
        return self._guard.step(self._q_d)
