"""From a chunk's knots to one reference per control tick: smooth, without overshoot, inside the guard's limits.

Note:
    Linear knots, followed by a critically damped second-order filter (rate `FOLLOW_RATE`) with velocity feed-forward,
    solved implicitly so that 250 Hz and 1 kHz give the same motion. Far from the knots the approach speed is that of a
    constant deceleration, where a linear filter under saturation would overshoot. The filter's state is the guard's
    last command: what the guard changes is what the filter goes on from. Real-time: no allocation.
"""

import math

from robostral.arm.chain import FloatArray
from robostral.guard import Guard
from robostral.guard import table as at
from robostral.jit import inlined, kernel

FOLLOW_RATE = 50.0
"""Rate of the reference filter [rad/s]."""
SHARE = 0.95
"""Share of the limits that the reference uses, so that the guard has nothing to change in normal motion."""
APPROACH_SHARE = 0.7
"""Share of the acceleration limit that the approach speed counts on; the rest is for the filter's own lag."""


@kernel
def follow_kernel(
    table: FloatArray,
    state: FloatArray,
    q_seam: FloatArray,
    knots: FloatArray,
    dt_step: float,
    t: float,
    speed: float,
    q_d: FloatArray,
) -> None:
    """Compute the reference of the next control tick.

    Args:
        table: Limits of the guard.
        state: State of the guard; its last command and derivatives are read.
        q_seam: Set-point at which the chunk was taken over; the first segment starts there [rad], shape (n,).
        knots: Set-points at the end of each chunk step [rad], shape (H, n).
        dt_step: Duration of a chunk step [s].
        t: Time in the chunk at the end of the next tick [s]; after the last knot the reference stays there.
        speed: How fast t advances, 1 for real time: scales the feed-forward.
        q_d: Filled with the reference [rad], shape (n,).
    """
    step = int(t / dt_step) if t > 0.0 else 0
    fraction = max(t, 0.0) / dt_step - step
    for i in range(q_d.shape[0]):
        if step < knots.shape[0]:
            begin = q_seam[i] if step == 0 else knots[step - 1, i]
            rate = (knots[step, i] - begin) / dt_step
            q_d[i] = follow_joint(table, state, i, begin + fraction * (knots[step, i] - begin), speed * rate)
        else:
            q_d[i] = follow_joint(table, state, i, knots[knots.shape[0] - 1, i], 0.0)


@kernel
def follow_joint(table: FloatArray, state: FloatArray, i: int, target: float, velocity: float) -> float:
    """Compute one joint's next reference on its way to a target that moves at `velocity` [rad/s]."""
    w = state[at.W, i]
    limits = (
        table[at.FIGURE, at.DT],
        table[at.LOW, i],
        table[at.HIGH, i],
        table[at.V, i],
        table[at.A, i],
        table[at.D, i],
    )
    return float(state[at.Q, i] + (w + filter_kernel(state[at.Q, i], w, state[at.B, i], target, velocity, limits)))


@inlined
def filter_kernel(
    q: float,
    w: float,
    b: float,
    target: float,
    velocity: float,
    limits: tuple[float, float, float, float, float, float],
) -> float:
    """Compute the filter's next second difference [rad per tick²]; without a branch, so that loops become vectors.

    Args:
        q: Last command [rad].
        w: Its difference from the one before [rad per tick].
        b: The difference of those [rad per tick²].
        target: Where to [rad].
        velocity: How fast that moves [rad/s].
        limits: Control period [s], then `LOW`, `HIGH`, `V`, `A` and `D` of the guard's table.
    """
    dt, low, high, V, A, D = limits
    v, V, A = w / dt, SHARE * V / dt, A / (dt * dt)
    velocity = velocity if low <= target <= high else 0.0
    target = min(max(target, low), high)
    wanted = velocity + approach(target - (q + v * dt), APPROACH_SHARE * A)
    wanted = min(max(wanted, -V), V)
    a = 2.0 * FOLLOW_RATE * (wanted - v) / (1.0 + FOLLOW_RATE * dt * (2.0 + FOLLOW_RATE * dt))
    x = min(max(a, -SHARE * A), SHARE * A) * dt * dt
    return min(max(x, b - SHARE * D), b + SHARE * D)


@inlined
def approach(error: float, A: float) -> float:
    """Compute the speed [rad/s] at which to close an error [rad]: linear nearby, constant deceleration A beyond."""
    gain = 0.5 * FOLLOW_RATE
    near = A / (gain * gain)
    far = math.sqrt(2.0 * A * max(abs(error) - 0.5 * near, 0.0))
    return gain * error if abs(error) <= near else (far if error > 0.0 else -far)


def follow(
    guard: Guard, q_seam: FloatArray, knots: FloatArray, dt_step: float, t: float, q_d: FloatArray, speed: float = 1.0
) -> None:
    """Fill `q_d`, shape (n,), with the reference of the guard's next tick; see `follow_kernel`."""
    follow_kernel(guard.table, guard.state, q_seam, knots, float(dt_step), float(t), float(speed), q_d)
