"""From a log to motion that a fit can use: even samples, zero-phase filtered, with accelerations; and what was lost."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, correlate, savgol_filter, sosfiltfilt

from robostral.arm import Arm
from robostral.arm.chain import FloatArray
from robostral.arm.limits import TAU
from robostral.identified.friction import STATE_COLUMNS, new_state, stop_batch_kernel
from robostral_policies.identify.log import Log, LogRefused

Rows = NDArray[np.bool_]

CORNER_HZ = 10.0
"""Motion above this is taken for noise: no arm of this size follows it."""
GAP = 3.5
"""A step of the clock longer than this many periods is a gap: what lies on both sides is not joined."""
EDGE_S = 0.1
"""Cut off beside each gap, where filters know one side only."""
SHORTEST_S = 1.0
MOST_SATURATED = 0.05


@dataclass(frozen=True, eq=False)
class Motion:
    """Even samples of one uninterrupted stretch.

    Attributes:
        run: Index of the log it is from.
        t: Time [s], shape (m,).
        q, dq, ddq: Position, velocity, acceleration [rad, rad/s, rad/s²], shape (m, n).
        tau: Torque [N·m] or current [A], shape (m, n).
        keep: Rows that may be fitted, shape (m,): not saturated, and not beside a gap.
        states: Friction states that the positions so far lead to, shape (m, n, 6).
        raw: Position, velocity and torque as measured, evenly sampled and no more, shape (3, m, n).
    """

    run: int
    t: FloatArray
    q: FloatArray
    dq: FloatArray
    ddq: FloatArray
    tau: FloatArray
    keep: Rows
    states: FloatArray
    raw: FloatArray

    @property
    def dt(self) -> float:
        """Sample period [s]."""
        return float(self.t[1] - self.t[0])

    def between(self, low: float, high: float) -> "Motion":
        """Return the part with `low <= t < high`."""
        return self.rows((self.t >= low) & (self.t < high))

    def rows(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> "Motion":
        """Return some rows, with the friction states that the whole of it led to."""
        q, dq, ddq, tau, states = (x[which] for x in (self.q, self.dq, self.ddq, self.tau, self.states))
        return Motion(self.run, self.t[which], q, dq, ddq, tau, self.keep[which], states, self.raw[:, which])


@dataclass(frozen=True)
class Recording:
    """What a log is like, for the report."""

    name: str
    rate_hz: float
    seconds: float
    gaps: int
    lost_s: float
    lag_s: tuple[float, ...]
    saturated: float


def prepare(log: Log, arm: Arm, run: int = 0) -> tuple[list[Motion], Recording]:
    """Resample a log, filter it without delay, derive accelerations, and cut it at gaps.

    Raises:
        LogRefused: Too short, mostly gaps, or mostly saturated; says what to record instead.
    """
    steps = np.diff(log.t)
    dt = float(np.median(steps))
    breaks = np.flatnonzero(steps > GAP * dt)
    saturated = find_saturated(log, arm)
    share = float(saturated.mean())
    if share > MOST_SATURATED:
        joint = int(np.argmax(np.abs(log.tau[saturated]).mean(0) / arm.limits.array[TAU]))
        raise LogRefused(
            f"{log.name}: torque is saturated in {100 * share:.0f} % of the rows (joint"
            f" '{arm.chain.joint_names[joint]}'): record slower motion, or less payload"
        )
    motions = [
        _even(log, rows.astype(np.int64), dt, saturated, run, len(breaks) > 0)
        for rows in np.split(np.arange(len(log.t)), breaks + 1)
        if len(rows) >= 2 and log.t[rows[-1]] - log.t[rows[0]] >= SHORTEST_S
    ]
    kept = sum(len(motion.t) for motion in motions) * dt
    if not motions or kept < 0.5 * log.t[-1]:
        raise LogRefused(
            f"{log.name}: {len(breaks)} gaps leave {kept:.1f} of {log.t[-1]:.1f} s: record without losing samples"
        )
    if 1.0 / dt < 20.0:
        raise LogRefused(f"{log.name}: {1.0 / dt:.3g} Hz is too slow to see accelerations: record at 30 Hz or more")
    lag = tuple(measure_lag(log.q[:, j], log.dq[:, j], log.t, dt) for j in range(arm.chain.n))
    name = log.name.rsplit("/", 1)[-1]
    lost = float(steps[breaks].sum())
    return motions, Recording(name, 1.0 / dt, float(log.t[-1]), len(breaks), lost, lag, share)


def find_saturated(log: Log, arm: Arm) -> Rows:
    """Find rows in which a joint's torque is at its limit, or stands still at its greatest value; shape (m,)."""
    size = np.abs(log.tau)
    most = size.max(axis=0)
    flat = (size >= most * (1.0 - 1e-9)) & (most > 0.0)
    # A peak is a sample or two; a clipped signal is at its top for long.
    flat &= flat.sum(axis=0) > max(5, 0.005 * len(size))
    # Far beyond its limit is no torque that was cut off: the checks of units answer that.
    share = size / arm.limits.array[TAU]
    limit = (share >= 1.0 - 1e-6) & (share < 1.05) if not log.currents else np.zeros_like(flat)
    found: Rows = (flat | limit).any(axis=1)
    return found


def _even(log: Log, rows: NDArray[np.int64], dt: float, saturated: Rows, run: int, cut: bool) -> Motion:
    t = np.arange(log.t[rows[0]], log.t[rows[-1]] + 1e-9, dt)
    q, dq, tau = (
        np.stack([np.interp(t, log.t[rows], x[rows, j]) for j in range(x.shape[1])], axis=1)
        for x in (log.q, log.dq, log.tau)
    )
    raw = np.stack([q, dq, tau])
    q, dq = smooth(q, dt), smooth(dq, dt)
    ddq = derive(dq, dt)
    keep = np.interp(t, log.t[rows], saturated[rows].astype(np.float64)) == 0.0
    if cut:
        edge = round(EDGE_S / dt)
        keep[:edge] = keep[len(keep) - edge :] = False
    states = np.empty((*q.shape, STATE_COLUMNS))
    stop_batch_kernel(np.ascontiguousarray(q), new_state(q.shape[1]), states)
    return Motion(run, t, q, dq, ddq, tau, keep, states, raw)


def smooth(x: FloatArray, dt: float) -> FloatArray:
    """Low-pass at `CORNER_HZ` without delay (Butterworth of order 4, there and back); slow logs stay as they are."""
    if 2.0 * CORNER_HZ * dt >= 0.9:
        return x
    found: FloatArray = sosfiltfilt(butter(4, 2.0 * CORNER_HZ * dt, output="sos"), x, axis=0)
    return found


def derive(x: FloatArray, dt: float) -> FloatArray:
    """Derive by a cubic Savitzky-Golay filter of 0.17 s, at least 7 samples."""
    window = min(max(7, round(0.168 / dt) // 2 * 2 + 1), (len(x) - 1) // 2 * 2 + 1)
    found: FloatArray = savgol_filter(x, window, 3, deriv=1, delta=dt, axis=0)
    return found


def measure_lag(q: FloatArray, dq: FloatArray, t: FloatArray, dt: float) -> float:
    """Measure by how much the velocity channel lags behind the derivative of the position [s]."""
    even = np.arange(t[0], t[-1], dt)
    a = np.gradient(np.interp(even, t, q), dt)
    b = np.interp(even, t, dq)
    a, b = a - a.mean(), b - b.mean()
    if not (a.any() and b.any()):
        return 0.0
    found = correlate(b, a, mode="full", method="fft")
    reach = min(len(a) - 1, max(1, round(0.2 / dt)))
    middle = len(a) - 1
    window = found[middle - reach : middle + reach + 1]
    return float((np.argmax(window) - reach) * dt)
