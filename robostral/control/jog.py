"""Jogging: joint velocities, or a twist of the tcp, followed within jerk limits for as long as somebody asks for them.

Note:
    Each joint tracks its velocity by the discrete landing law of `robostral.guard.stop`, and the guard's own last
    command is the state it goes on from. A twist becomes joint velocities by damped least squares (Wampler, 1986).
    Real-time: no allocation.
"""

import math

import numpy as np

from robostral.arm.chain import FloatArray
from robostral.guard import Guard
from robostral.guard import table as at
from robostral.guard.stop import landing
from robostral.jit import kernel
from robostral.kinematics.jacobian import jacobian_kernel
from robostral.kinematics.lm import damp_kernel, solve_kernel

SHARE = 0.95
"""Share of the acceleration and jerk limits that a jog uses, so that the guard has nothing to change."""
JOG_SHARE = 0.25
"""Share of the velocity limits that a jog may reach."""
JOG_TCP = 0.25
"""Greatest speed of a Cartesian jog [m/s]: the reduced speed of ISO 10218-1; its rotation in rad/s likewise."""
SILENCE_NS = 250_000_000
"""A jog that is not asked for again for this long [ns] comes to rest: the dead-man of whoever holds the button."""
_DAMPING = 1e-4


@kernel
def twist_kernel(model: FloatArray, q: FloatArray, twist: FloatArray, work: FloatArray, dq: FloatArray) -> None:
    """Fill `dq` [rad/s], shape (n,), with joint velocities that move the tcp at `twist` (6,), axes of `base`.

    `work` has the shape (13, max(n, 6)): Jacobian, Cholesky factor, and one row for the solution.
    """
    n = q.shape[0]
    J, A, x = work[:6, :n], work[6:12], work[12]
    jacobian_kernel(model, q, J)
    for i in range(6):
        x[i] = twist[i]
    for i in range(n):
        dq[i] = 1.0
    damp_kernel(J, n, dq, _DAMPING, A)
    solve_kernel(A, x)
    for i in range(n):
        total = 0.0
        for k in range(6):
            total += J[k, i] * x[k]
        dq[i] = total


@kernel
def jog_kernel(table: FloatArray, state: FloatArray, dq_d: FloatArray, q_d: FloatArray) -> None:
    """Fill `q_d` [rad], shape (n,), with the next set-point on the way to the velocities `dq_d` [rad/s], shape (n,).

    They keep their direction and are slowed together to `JOG_SHARE` of the limits.
    """
    dt, slow = table[at.FIGURE, at.DT], 1.0
    for i in range(dq_d.shape[0]):
        if abs(dq_d[i]) * dt * slow > JOG_SHARE * table[at.V, i]:
            slow = JOG_SHARE * table[at.V, i] / (abs(dq_d[i]) * dt)
    for i in range(dq_d.shape[0]):
        q, w, b = state[at.Q, i], state[at.W, i], state[at.B, i]
        A, D = SHARE * table[at.A, i], SHARE * table[at.D, i]
        target = slow * dq_d[i] * dt
        if target == 0.0 and abs(w) <= min(A, D) and abs(w + b) <= D:
            q_d[i] = q
            continue
        error = w - target
        wish = -math.copysign(min(landing(abs(error), D), A), error)
        q_d[i] = q + (w + min(max(wish, b - D), b + D))


class Jog:
    """What is asked for by whoever holds the button, and the set-points that follow from it.

    Args:
        guard: Guard of the arm.

    Attributes:
        until_ns: When the dead-man lets go, unless it is asked for again [ns].
    """

    def __init__(self, guard: Guard) -> None:
        n = guard.chain.n
        self._guard, self._cartesian, self.until_ns = guard, False, 0
        self._dq, self._twist = np.zeros(n), np.zeros(6)
        self._work, self._still = np.zeros((13, max(n, 6))), np.zeros(n)

    def joints(self, dq: FloatArray, now_ns: int) -> None:
        """Ask for joint velocities [rad/s], shape (n,), from now until the dead-man lets go."""
        self._dq[:], self._cartesian, self.until_ns = dq, False, now_ns + SILENCE_NS

    def tcp(self, twist: FloatArray, now_ns: int) -> None:
        """Ask for a twist of the tcp in axes of `base` [m/s, rad/s], shape (6,), at most `JOG_TCP`, until then."""
        self._twist[:], self._cartesian, self.until_ns = twist, True, now_ns + SILENCE_NS
        for part in (self._twist[:3], self._twist[3:]):
            part *= min(1.0, JOG_TCP / max(float(np.linalg.norm(part)), 1e-9))

    @property
    def at_rest(self) -> bool:
        """Whether the last command is at rest, bit for bit."""
        return not (self._guard.dq_c.any() or self._guard.ddq_c.any())

    def step(self, now_ns: int, speed: float, q_d: FloatArray) -> bool:
        """Fill the next set-point [rad], shape (n,), at the speed override; return False once it rests, let go of."""
        guard, dq = self._guard, self._still
        held = now_ns < self.until_ns
        if held and self._cartesian:
            twist_kernel(guard.chain.model, guard.q_c, self._twist, self._work, self._dq)
        np.multiply(self._dq, speed if held else 0.0, out=dq)
        jog_kernel(guard.table, guard.state, dq, q_d)
        return held or not self.at_rest
