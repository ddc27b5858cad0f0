"""What the guard's kernels read and keep: limits (read-only) and state, two packed tables."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from robostral.arm.chain import KIND, POS, Chain, FloatArray, frozen
from robostral.arm.limits import DDDQ, DDQ, DQ, DTAU, Q_MAX, Q_MIN, TAU, Limits
from robostral.errors import ConfigError

(
    LOW,
    HIGH,
    V,
    A,
    D,
    PER_A,
    PER_D,
    TAPER_OFFSET,
    TAPER_PER,
    TORQUE,
    TORQUE_STEP,
    JUMP,
    LEVER,
    SWING,
    BOX_LOW,
    BOX_HIGH,
    FIGURE,
    CHECKS,
) = range(18)
"""Rows of the limits table. Per joint and tick: position, `V`, `A`, `D` as in `robostral.guard.stop`, 1 / A, 1 / D, the
speed limit near a position limit as in `taper_room`, torque and its change, the step that is too far to be meant, how
far the tcp moves and how much the Jacobian changes per unit of joint motion at most. `BOX_LOW` and `BOX_HIGH` hold
x, y, z [m]; `FIGURE` holds the scalars below; from `CHECKS` on, each row is a check of `robostral.guard.checks`."""

(
    DT,
    TCP_STEP,
    START_TOLERANCE,
    TRACKING_TOLERANCE,
    CONDITION_SLOW,
    CONDITION_STOP,
    APPROACH_GAIN,
    APPROACH_FLOOR,
    ENERGY,
) = range(9)
"""Columns of `FIGURE`: [s], [m] per tick, [rad], [rad], condition numbers, the approach to a check's distance
[1 per tick] and [m per tick], kinetic energy [J]."""

(
    Q,
    W,
    B,
    DQ_C,
    DDQ_C,
    NEXT_Q,
    NEXT_W,
    NEXT_B,
    SIM_Q,
    SIM_W,
    SIM_B,
    TCP,
    TCP_NEXT,
    TCP_SIM,
    LOOK,
    TCP_LOOK,
    TAU_C,
    META,
    ROOM,
    ROOM_NEXT,
    ROOM_SIM,
    STOP_REACH,
    TRAVEL,
    WATCHED,
    JACOBIAN,
    SIGMA,
    FRAMES,
) = range(27)
"""Rows of the state: last command and its differences (per tick, then per second), the candidate, the simulated stop,
their tcp poses (16 numbers each), the last torque command, the scalars below, what every check has left at least at
the last command, at the candidate and in the simulated stop [m], a bound of each joint's way to rest, its way in the
simulated stop, the checks that are watched there, the Jacobian and its singular values; from `FRAMES` on, the poses of
the links."""

(
    LATCH,
    FRESH,
    PATH,
    LIMITED_BITS,
    CAUSE,
    CLEAR,
    S_MOST,
    S_LEAST,
    CONDITION,
    S_MOST_NEXT,
    S_LEAST_NEXT,
    CONDITION_NEXT,
) = range(12)
"""Columns of `META`: reason of the stop under way (0 none), no command since `reset` yet, how to stop, bits, why the
last candidate has no stop, whether nothing is near it, bounds of the singular values and of the condition number at the
last command and at the candidate."""

PATH_UNKNOWN, PATH_TOGETHER, PATH_ALONE = 0.0, 1.0, 2.0
"""How to stop: not looked at yet, on the path with all joints together, each joint at its own maximum."""

INNER = 1.0 - 1e-6
"""The guard holds limits this much tighter, so that rounding of emitted commands cannot exceed the figures."""
POSITION_MARGIN = 1e-8
"""And positions by this [rad or m]."""
BOX_MARGIN = 0.002
"""And the workspace by this [m]: stops are sampled so densely that the tcp is outside by less in between."""
APPROACH_RATE = 10.0
"""How fast what a check has left may shrink, per what it has left [1/s]: the arm slows down on its way there."""
APPROACH_LEAST = 0.005
"""And this much faster [m/s], so that it does get there, and stops."""
JUMP_FACTOR = 10.0
"""A set-point that asks for more than this times the velocity limit is an error of unit or of a program."""


class Reason(IntEnum):
    """What the guard answers; everything but PASSED and LIMITED is a reject, and braking has begun."""

    PASSED = 0
    LIMITED = 1
    """Changed as little as the limits ask; `Guard.limited` says which."""
    SIZE = 2
    NOT_FINITE = 3
    SESSION = 4
    """Of another session; found by the loop, as ORDER, AGE and CONTRACT are."""
    ORDER = 5
    AGE = 6
    CONTRACT = 7
    START_POSE = 8
    """The pose, or the first set-point after `reset`, is not where the arm stands or may stand."""
    JUMP = 9
    """Further away than a set-point can be meant: a wrong unit, a wrong joint order."""
    TCP_SPEED = 10
    """No slower command was left that keeps the tcp's speed limit."""
    WORKSPACE = 11
    """The tcp, or the stop that would have to follow, would leave the box."""
    SELF_COLLISION = 12
    """Links, or the stop that would have to follow, would come nearer to each other than 10 mm."""
    CONDITIONING = 13
    """Too near to a singular pose, and nearing it."""
    TRACKING = 14
    """The measured position is too far from the last command."""
    COMMAND = 15
    """Second stage: not what the first stage passed, or not finite."""
    STOPPED = 16
    """Asked to brake, by the ladder or the operator."""
    KEEP_OUT = 17
    """The arm, or the stop that would have to follow, would come nearer to a shape to keep out of than 20 mm."""
    ENERGY = 18
    """Second stage, torque mode: the arm holds more kinetic energy than it may."""


@dataclass(frozen=True)
class Workspace:
    """Box in `base` that the tcp stays in.

    Args:
        low: Least x, y, z [m].
        high: Greatest x, y, z [m].
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]

    def __post_init__(self) -> None:
        if not all(low + 2.0 * BOX_MARGIN < high for low, high in zip(self.low, self.high, strict=True)):
            raise ConfigError(f"workspace box from {self.low} to {self.high} has no inside")


def pack_limits(
    chain: Chain,
    limits: Limits,
    dt: float,
    workspace: Workspace | None,
    *,
    checks: FloatArray,
    conditioning: tuple[float, float] | None,
    energy: float,
    start_tolerance: float,
    tracking_tolerance: float,
) -> FloatArray:
    """Pack all that the kernels compare with into one read-only table, one row for each name above and each check.

    Raises:
        ConfigError: A figure is missing, not positive, or not finite.
    """
    n, figures = chain.n, limits.array
    if figures.shape != (7, n):
        raise ConfigError(f"limits profile has the shape {figures.shape}, the arm needs (7, {n})")
    if not np.isfinite(figures).all() or (figures[DQ:] <= 0.0).any() or (figures[Q_MIN] >= figures[Q_MAX]).any():
        raise ConfigError("limits profile holds a figure that is not finite, not positive, or a range without inside")
    if not (dt > 0.0 and limits.tcp_speed > 0.0 and energy > 0.0):
        raise ConfigError(f"control period {dt} s, tcp speed {limits.tcp_speed} m/s, energy {energy} J: not positive")
    slow, stop = conditioning or (np.inf, np.inf)
    if not 1.0 < slow <= stop:
        raise ConfigError(f"conditioning {conditioning}: needs 1 < slow <= stop")
    table = np.zeros((CHECKS + len(checks), checks.shape[1]))
    table[CHECKS:] = checks
    table[LOW, :n] = figures[Q_MIN] + POSITION_MARGIN
    table[HIGH, :n] = figures[Q_MAX] - POSITION_MARGIN
    for row, figure, scale in ((V, DQ, dt), (A, DDQ, dt**2), (D, DDDQ, dt**3), (TORQUE, TAU, 1.0)):
        table[row, :n] = figures[figure] * scale * INNER
    table[PER_A, :n], table[PER_D, :n] = 1.0 / table[A, :n], 1.0 / table[D, :n]
    if limits.taper is not None:
        # Half a tick of deceleration more: in discrete time the arm is that much nearer to the limit than it is fast.
        table[TAPER_OFFSET, :n] = limits.taper[0] * dt + 0.5 * limits.taper[1] * dt**2
        table[TAPER_PER, :n] = 0.5 / (limits.taper[1] * dt**2)
    table[TORQUE_STEP, :n] = figures[DTAU] * dt * INNER
    table[JUMP, :n] = JUMP_FACTOR * figures[DQ] * dt
    table[LEVER, :n] = levers(chain, limits)
    table[SWING, :n] = swings(table[LEVER, :n])
    box = workspace or Workspace((-np.inf,) * 3, (np.inf,) * 3)
    table[BOX_LOW, :3] = np.add(box.low, BOX_MARGIN)
    table[BOX_HIGH, :3] = np.subtract(box.high, BOX_MARGIN)
    table[FIGURE, :5] = dt, limits.tcp_speed * dt * INNER, start_tolerance, tracking_tolerance, slow
    table[FIGURE, 5:9] = stop, APPROACH_RATE * dt, APPROACH_LEAST * dt, energy
    return frozen(table)


def levers(chain: Chain, limits: Limits) -> FloatArray:
    """Bound how far the tcp moves per unit of each joint's motion, shape (n,) [m/rad, or m/m if prismatic].

    It also bounds how much that may change per unit of another joint's motion: 1 at least beside a prismatic joint.
    """
    n, model = chain.n, chain.model
    sliding = model[:n, KIND]
    links = np.linalg.norm(model[:, POS : POS + 3], axis=1)
    links[:n] += np.where(sliding, np.abs(limits.array[: Q_MAX + 1]).max(axis=0), 0.0)
    after = np.array([links[i + 1 : n].sum() + links[n + 1] for i in range(n)])
    return np.maximum(after, 1.0) if sliding.any() else after


def swings(lever: FloatArray) -> FloatArray:
    """Bound how much the Jacobian changes, as a spectral norm, per unit of each joint's motion, shape (n,).

    Column j of a joint after joint i turns with it; of one before, its linear part changes with the tcp.
    """
    n = len(lever)
    after = [float(np.sum(np.square(lever[i + 1 :]) + 1.0)) for i in range(n)]
    return np.array([np.sqrt((i + 1) * lever[i] ** 2 + after[i]) for i in range(n)])


def new_state(n: int, checks: int = 0) -> FloatArray:
    """Make the state of a guard that no pose was given to yet: latched, its command NaN."""
    state = np.zeros((FRAMES + n, max(6 * n, 16, checks)))
    state[Q] = np.nan
    state[META, LATCH] = Reason.START_POSE
    return state
