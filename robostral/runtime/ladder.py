"""The ladder: what the loop does when set-points stop coming, and the only ways back. A table, and one rule of time."""

from enum import IntEnum

COAST_TICKS = 3
COAST_NS = 8_000_000
BRAKE_NS = 10_000_000
"""Braking begins on the first tick at or after validity + this, at the latest."""


class Mode(IntEnum):
    """Where the loop stands."""

    HOLD = 0
    """At rest and locked: after start, and after every stop; only `rearm` leads out."""
    IDLE = 1
    """At rest and armed."""
    MOVING = 2
    """Guarded move to a joint position."""
    RUN = 3
    """Follows the policy's chunks."""
    COAST = 4
    """First rung without a set-point: constant velocity for a few ticks."""
    BRAKE = 5
    """Second rung: jerk-limited stop on the path."""
    FAULT = 6
    """The plant cannot be commanded; nothing is written."""
    JOG = 7
    """Follows the velocity that an operator keeps asking for."""


class Rung(IntEnum):
    """How far down the loop is, tick by tick; 0 where no set-point is missing."""

    NONE = 0
    BUFFERED = 1
    """Rest of the buffered chunk: the next one is overdue."""
    COAST = 2
    BRAKE = 3
    HOLD = 4
    VENDOR_STOP = 5


RUNGS = {
    Mode.HOLD: Rung.HOLD,
    Mode.IDLE: Rung.NONE,
    Mode.MOVING: Rung.NONE,
    Mode.JOG: Rung.NONE,
    Mode.RUN: Rung.NONE,
    Mode.COAST: Rung.COAST,
    Mode.BRAKE: Rung.BRAKE,
    Mode.FAULT: Rung.VENDOR_STOP,
}


class Event(IntEnum):
    """What can happen to it."""

    REARM = 0
    GOAL = 1
    MOVE = 2
    ARRIVED = 3
    """A move is at its goal, or a jog that nobody asks for any more is at rest."""
    LOST = 4
    """No set-point for this tick."""
    FOUND = 5
    """A newer chunk came while coasting."""
    LOST_FOR_LONG = 6
    STOP = 7
    """Operator, leaving, guard or plant ask for a stop."""
    AT_REST = 8
    PLANT_GONE = 9
    JOG = 10


class Cause(IntEnum):
    """Why it stands there: the reason of the last change."""

    START = 0
    REARMED = 1
    GOAL = 2
    MOVE = 3
    ARRIVED = 4
    CHUNK_STALE = 5
    """`chunk_valid_s` or the site's cap ran out."""
    CHUNK_USED_UP = 6
    """All its steps were consumed."""
    EXTERNAL_STALE = 7
    """An external signal is older than the contract's `max_age_s`."""
    CHUNK_BACK = 8
    OPERATOR = 9
    LEAVING = 10
    GUARD = 11
    """The guard rejected; its own reason stands beside this one."""
    PLANT = 12
    """The driver reported; its status stands beside this one."""
    JOG = 13
    CONTACT = 14
    """Something touches the arm, by the torques of an identified one."""


TABLE: dict[tuple[Mode, Event], Mode] = {
    (Mode.HOLD, Event.REARM): Mode.IDLE,
    (Mode.FAULT, Event.REARM): Mode.IDLE,
    (Mode.IDLE, Event.REARM): Mode.IDLE,
    (Mode.IDLE, Event.GOAL): Mode.RUN,
    (Mode.RUN, Event.GOAL): Mode.RUN,
    (Mode.COAST, Event.GOAL): Mode.COAST,
    (Mode.IDLE, Event.MOVE): Mode.MOVING,
    (Mode.MOVING, Event.ARRIVED): Mode.IDLE,
    (Mode.IDLE, Event.JOG): Mode.JOG,
    (Mode.JOG, Event.JOG): Mode.JOG,
    (Mode.JOG, Event.ARRIVED): Mode.IDLE,
    (Mode.RUN, Event.LOST): Mode.COAST,
    (Mode.COAST, Event.LOST): Mode.COAST,
    (Mode.COAST, Event.FOUND): Mode.RUN,
    (Mode.COAST, Event.LOST_FOR_LONG): Mode.BRAKE,
    (Mode.RUN, Event.LOST_FOR_LONG): Mode.BRAKE,
    (Mode.IDLE, Event.STOP): Mode.HOLD,
    (Mode.HOLD, Event.STOP): Mode.HOLD,
    (Mode.FAULT, Event.STOP): Mode.FAULT,
    (Mode.MOVING, Event.STOP): Mode.BRAKE,
    (Mode.JOG, Event.STOP): Mode.BRAKE,
    (Mode.RUN, Event.STOP): Mode.BRAKE,
    (Mode.COAST, Event.STOP): Mode.BRAKE,
    (Mode.BRAKE, Event.STOP): Mode.BRAKE,
    (Mode.BRAKE, Event.AT_REST): Mode.HOLD,
} | {(mode, Event.PLANT_GONE): Mode.FAULT for mode in Mode}
"""Every step there is; what is not in the table does not happen."""


class Ladder:
    """The state machine; it knows nothing of arms, clocks or chunks.

    Args:
        dt_ns: Control period [ns].

    Attributes:
        mode: Where it stands.
        cause: Why.
        stops: How many stops were begun.
    """

    def __init__(self, dt_ns: int) -> None:
        self.mode, self.cause = Mode.HOLD, Cause.START
        self.stops = 0
        self._coast_limit = min(COAST_TICKS, COAST_NS // dt_ns)
        self._coasted = 0

    def on(self, event: Event, cause: Cause) -> bool:
        """Take the step that the table has for `event`; return whether there is one.

        A mode that stays keeps its cause: the first reason of a stop is the one worth reading.
        """
        target = TABLE.get((self.mode, event))
        if target is None:
            return False
        if target != self.mode:
            self.stops += target in {Mode.BRAKE, Mode.FAULT}
            self.mode, self.cause = target, cause
            self._coasted = 0
        return True

    def supply(self, late_ns: int, cause: Cause) -> Mode:
        """Tell the ladder, once per tick of RUN and COAST, whether there is a set-point.

        Args:
            late_ns: Time since the last set-point ceased to be valid [ns]; negative: there is a valid one.
            cause: What ran out, if anything did.

        Returns:
            The mode to act by in this tick.
        """
        if late_ns < 0:
            self.on(Event.FOUND, Cause.CHUNK_BACK)
        elif late_ns >= BRAKE_NS or self._coasted >= self._coast_limit:
            self.on(Event.LOST_FOR_LONG, cause)
        else:
            self.on(Event.LOST, cause)
            self._coasted += 1
        return self.mode
