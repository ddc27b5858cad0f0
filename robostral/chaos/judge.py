"""What a log says about a campaign's faults: limits, braking in time, nothing stale, nothing that resumed by itself."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robostral.oracle import count_violations
from robostral.runtime.ladder import BRAKE_NS, Cause, Mode
from robostral.runtime.records import Op
from robostral.runtime.runlog import RunLog


@dataclass(frozen=True)
class Stop:
    """One stop that the ladder made because set-points ran out.

    Attributes:
        t_ns: First tick of braking [ns].
        brake_ms: From the end of the last chunk's validity until then [ms].
        in_time: Whether that was the first tick at or after validity + 10 ms, or an earlier one.
        rest_ms: From there to standstill [ms].
    """

    t_ns: int
    brake_ms: float
    in_time: bool
    rest_ms: float


def stops(log: RunLog, valid_s: float) -> list[Stop]:
    """Find every stop for want of a chunk while chunks were streamed, in order.

    Args:
        log: The run's log.
        valid_s: How long a chunk may be used after its observation [s].
    """
    ticks = log.ticks
    t_ns, mode, cause, age = (ticks[name] for name in ("t_ns", "mode", "cause", "setpoint_age_ns"))
    wrote_ns = t_ns + ticks["compute_ns"]
    braking = (mode == Mode.BRAKE) & np.isin(cause, (Cause.CHUNK_STALE, Cause.CHUNK_USED_UP))
    braking &= ticks["synchronous"] == 0  # such a stop begins at rest, where no validity runs out
    found = []
    for begin in (np.flatnonzero(braking[1:] & ~braking[:-1]) + 1).tolist():
        fed = np.flatnonzero(age[:begin] >= 0)
        rest = np.flatnonzero(mode[begin:] == Mode.HOLD)
        if not len(fed) or not len(rest):
            continue
        last = int(fed[-1])
        valid_until = int(wrote_ns[last] - age[last]) + round(1e9 * valid_s)
        found.append(
            Stop(
                int(t_ns[begin]),
                1e-6 * (int(t_ns[begin]) - valid_until),
                bool(
                    t_ns[begin - 1] < valid_until + BRAKE_NS + 100_000
                ),  # a little passes from `compute_ns` to the age
                1e-6 * int(t_ns[begin + int(rest[0])] - t_ns[begin]),
            )
        )
    return found


def froze(log: RunLog, t_ns: int, valid_s: float) -> bool:
    """Tell whether the loop itself stood still in the second before `t_ns` [ns] for longer than a chunk is valid [s].

    Then the machine froze, and the stop was right.
    """
    ticks = log.ticks
    near = (ticks["t_ns"] > t_ns - 1_000_000_000) & (ticks["t_ns"] <= t_ns)
    still_ns = np.maximum(ticks["wakeup_ns"], ticks["compute_ns"] + ticks["write_ns"])[near]
    return bool(still_ns.size and still_ns.max() > 1e9 * valid_s)


def violations(log: RunLog, dt: float, limits: NDArray[np.float64]) -> int:
    """Count the commands, as they were written, that exceed a limit; across ticks that are not in the log none is."""
    rows = log.ticks["written"] == 1
    if not rows.any():
        return 0
    tick, session, q_c = (log.ticks[name][rows] for name in ("tick", "session", "q_c"))
    anew = session[1:] != session[:-1]
    starts, gaps = np.flatnonzero(anew) + 1, np.flatnonzero((np.diff(tick) > 1) & ~anew) + 1
    found = count_violations(q_c, dt, limits, [0, *starts.tolist()], gaps.tolist())
    return sum(finding["violations"] for finding in found.values())


def stale(log: RunLog, valid_s: float, cap_s: float) -> int:
    """Count the ticks that were fed by a chunk whose observation was too old.

    Args:
        log: The run's log.
        valid_s: How long a streamed chunk may be used after its observation [s].
        cap_s: How long a synchronous one may be [s].
    """
    bound_s = np.where(log.ticks["synchronous"] == 1, cap_s, valid_s)
    late = log.ticks["setpoint_age_ns"] > 1e9 * bound_s + 1_000_000  # the age is taken after the decision
    return int((late & (log.ticks["mode"] == Mode.RUN)).sum())


def resumed(log: RunLog) -> int:
    """Count the ways out of a stop that no operator asked for in that very tick."""
    locked = np.isin(log.ticks["mode"], (Mode.HOLD, Mode.FAULT))
    left = np.flatnonzero(locked[:-1] & ~locked[1:] & (np.diff(log.ticks["tick"]) == 1)) + 1
    return int((log.ticks["op"][left] != Op.REARM).sum())


def first_reply_ms(log: RunLog, since_ns: int) -> float | None:
    """Return how long after `since_ns` the next answer of a policy came to the loop [ms]; None if none did."""
    arrived = log.ticks["t_ns"][(log.ticks["latency_ns"] >= 0) & (log.ticks["t_ns"] > since_ns)]
    return 1e-6 * int(arrived[0] - since_ns) if len(arrived) else None
