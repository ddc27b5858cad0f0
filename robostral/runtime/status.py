"""The state of a run for people and programs: what `robostral ctl status` prints and the supervisor watches."""

import msgspec
import numpy as np

from robostral.driver import PlantStatus
from robostral.guard import Reason
from robostral.runtime.ladder import Cause, Mode
from robostral.runtime.mailbox import Mailbox
from robostral.runtime.records import Record


class Status(msgspec.Struct, frozen=True):
    """One moment of a run. Angles in rad, lengths in m, poses of the tcp in `base`.

    Attributes:
        mode, cause: Where the ladder stands and why.
        plant, guard: The driver's last answer, and the guard's last reject.
        goal: Position and quat_wxyz; None before the first goal of a session.
        goal_error_m, goal_error_rad: From the measured tcp to the goal.
        latency_us, max_latency_us: Observation packed to chunk usable, smoothed; and what the policy was trained for.
        synchronous: Whether the arm therefore waits at rest for each chunk.
        server: What the transport says about the policy server.
        twin: Whether the plant is a simulated one.
        held: Whether the path stands still until `resume`.
        wakeups, worst_wakeup_us, late_wakeups: The self-test before the first arming: how many wake-ups, the latest,
            and whether that was more than half a period.
        standstill_ms: How long the loop itself stood still, at most, in the half second before the last stop began.
        dropped_rows, lost_rows: Ticks that found no room in the ring, or that the recorder could not write.
        connected: Whether a policy server answers.
    """

    mode: str
    cause: str
    plant: str
    guard: str
    tick: int
    session: int
    speed: float
    q: tuple[float, ...]
    p_tcp: tuple[float, ...]
    quat_wxyz: tuple[float, ...]
    goal: tuple[float, ...] | None
    goal_error_m: float
    goal_error_rad: float
    latency_us: float
    max_latency_us: float
    synchronous: bool
    chunks: int
    chunks_refused: int
    guard_passed: int
    guard_rejected: int
    stops: int
    held: bool
    twin: bool
    wakeups: int
    worst_wakeup_us: float
    late_wakeups: bool
    standstill_ms: float
    overruns: int
    dropped_rows: int
    lost_rows: int
    connected: bool
    server: str

    def line(self) -> str:
        """Write it in one line."""
        goal = f", {1e3 * self.goal_error_m:.1f} mm from the goal" if self.goal else ""
        late = f", WOKE UP {self.worst_wakeup_us:.0f} µs LATE in the self-test" if self.late_wakeups else ""
        lost = f", {self.lost_rows} ticks NOT LOGGED" if self.lost_rows else ""
        waits = (
            f", SYNCHRONOUS chunks: the policy takes {1e-3 * self.latency_us:.1f} ms, "
            f"trained for {1e-3 * self.max_latency_us:.1f} ms"
        )
        return (
            f"{self.mode} ({self.cause}){', held' if self.held else ''}{goal}, tick {self.tick}, "
            f"speed {self.speed:.0%}, {self.stops} stops, {self.overruns} overruns{late}{lost}"
            f"{waits if self.synchronous else ''}, server: {self.server}"
        )


class StatusReader:
    """Reads the newest status from a mailbox; one per process."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._loop: Record = np.zeros((), mailbox.status.dtype)
        self._link: Record = np.zeros((), mailbox.link.dtype)
        self._lost_rows = 0

    @property
    def record(self) -> Record:
        """The newest status record of the loop."""
        newest = self._mailbox.status.take()
        if newest is not None:
            self._loop[...] = newest
        return self._loop

    def read(self) -> Status:
        """Return the newest status."""
        loop, link = self.record, self._mailbox.link.take()
        if link is not None:
            self._link[...] = link
        log = self._mailbox.log.take()
        if log is not None:
            self._lost_rows = int(log["lost"])
        fields = {name: loop[name].tolist() for name in loop.dtype.names or () if name in Status.__struct_fields__}
        names = {"mode": Mode, "cause": Cause, "plant": PlantStatus, "guard": Reason}
        return msgspec.convert(
            fields
            | {name: kind(int(loop[name])).name for name, kind in names.items()}
            | {
                "lost_rows": self._lost_rows,
                "twin": bool(loop["twin"]),
                "held": bool(loop["held"]),
                "synchronous": bool(loop["synchronous"]),
                "late_wakeups": bool(loop["late_wakeups"]),
                "goal": loop["goal"].tolist() if loop["goal_set"] else None,
                "connected": bool(self._link["connected"]),
                "server": bytes(self._link["note"].item()).decode(errors="replace"),
            },
            Status,
        )
