"""What the control script of ur_rtde does on a controller, told as a coroutine: the register protocol and its commands.

Note:
    Facts from SDU Robotics' ur_rtde, scripts/rtde_control.script, as its client 1.6.5 uploads it to a PolyScope 5.12:
    the client writes a command number into integer register 0, the script answers 1 (ready) or 2 (done) in integer
    register 0, once a period; streamed commands are answered `ready` at once, others `done` until the client writes 0.
    Moves of an asynchronous command and streamed motion run beside the main loop; here the newest replaces the older.
    Not emulated: force mode, servoc and move_until_contact (they end the program with a word); sensors read zero.
"""

import math
import re
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from robostral_drivers.ur import motion
from robostral_drivers.ur.geometry import FloatArray, Geometry, Pose, Unreachable, matrix, pose_of
from robostral_drivers.ur.motion import DT, Motion, Moves

if TYPE_CHECKING:
    from robostral_drivers.ur.controller import Controller

READY, DONE = 1, 2
STREAMED = frozenset({6, 9, 10, 11, 24, 25, 26, 27, 38, 58, 66, 67, 68, 69, 70, 71})
"""Commands answered `ready` in the period in which they arrive."""
SERVOJ, SET_WATCHDOG, STOP_SCRIPT = 11, 35, 255
WITHOUT_EFFECT = frozenset({7, 8, 18, 19, 20, 21, 52, 53, 56, 57, 59, 62, 66, 67, 68, 69, 70, 71})
"""Force, free drive, sensors, gravity, and what only newer controllers know: accepted, nothing to do in this World."""

_OFFSET = re.compile(r"reg_offset_int = [^\n]*\n\s*(\d+)")
_PATH = re.compile(
    r"signal_async_progress\((?P<progress>\d+)\)|"
    r"(?P<kind>movej|movel|movep)\((?P<pose>p?)\[(?P<numbers>[^]]*)\],a=(?P<a>[^,]+),v=(?P<v>[^,]+),r="
)


class ScriptError(Exception):
    """The controller would end the program here; says why."""


class ControlScript:
    """A running control script.

    Args:
        controller: The controller that runs it.
        source: The uploaded text; register offset and injected path are read from it.

    Attributes:
        busy: Whether a command keeps the main loop from listening.
        alive: Whether the script has not ended yet.
    """

    def __init__(self, controller: "Controller", source: str) -> None:
        self._c = controller
        self._motion: Motion = controller.motion
        self._geometry: Geometry = controller.geometry
        found = _OFFSET.search(source)
        self._offset = int(found[1]) if found else 0
        self._path = list(_PATH.finditer(source[source.find("# inject move path") : source.find("async_wr_count")]))
        self.command_register = f"input_int_register_{self._offset}"
        self.busy, self.alive = False, True
        self._mover: Moves | None = None
        self._stream: Callable[[], None] | None = None
        self._async = False
        self._operation = self._changes = 0
        self._servo_target: FloatArray | None = None
        self._servo_since = 0.0
        self._waypoint: Pose = [0.0] * 6
        self._history: deque[list[float]] = deque(maxlen=500)
        self._main = self._loop()

    def step(self) -> None:
        """Live through one period.

        Raises:
            ScriptError: The program ends.
        """
        self._history.appendleft(self._c.actual_q)
        try:
            next(self._main, None)
            if self._stream is not None:
                self._stream()
            if self._mover is not None and next(self._mover, self) is self:
                self._end_motion()
        except Unreachable as error:
            raise ScriptError(str(error)) from error

    def command(self) -> tuple[int, list[float]]:
        """Return the command register and the first six numbers that came with it."""
        return self._int(0), [self._c.inputs[f"input_double_register_{self._offset + i}"] for i in range(6)]

    def _loop(self) -> Moves:
        executing = False
        self._progress(-1)
        self._answer(READY)
        while True:
            code = self._int(0)
            if code == STOP_SCRIPT:
                self.alive = False
                return
            if code in STREAMED:
                yield from self._process(code)
                self._answer(READY)
            elif code == 0:
                executing = False
                self._answer(READY)
            elif not executing:
                self.busy = True
                yield from self._process(code)
                self.busy, executing = False, True
                self._answer(DONE)
            yield

    def _process(self, code: int) -> Moves:
        if code in WITHOUT_EFFECT:
            return
        action = _ACTIONS.get(code)
        if action is None:
            raise ScriptError(f"command {code} of the control script is not emulated")
        moves = action(self)
        if moves is not None:
            yield from moves

    # Registers

    def _int(self, i: int) -> int:
        return int(self._c.inputs[f"input_int_register_{self._offset + i}"])

    def _float(self, i: int) -> float:
        value = float(self._c.inputs[f"input_double_register_{self._offset + i}"])
        if not math.isfinite(value):
            raise ScriptError(f"input_double_register_{self._offset + i} holds {value}")
        return value

    def _floats(self, i: int) -> list[float]:
        return [self._float(i + k) for k in range(6)]

    def _joints(self, i: int) -> FloatArray:
        return np.array(self._floats(i))

    def _answer(self, value: int) -> None:
        self._c.outputs[f"output_int_register_{self._offset}"] = value

    def _result(self, value: int) -> None:
        self._c.outputs[f"output_int_register_{self._offset + 1}"] = int(value)

    def _results(self, values: list[float]) -> None:
        for i, value in enumerate(values):
            self._c.outputs[f"output_double_register_{self._offset + i}"] = float(value)

    def _progress(self, value: int) -> None:
        # Bits 0-14 progress, 15 running, 16-23 count of changes, 24-30 number of the operation.
        self._changes = (self._changes + 1) % 128
        self._operation = (self._operation + (value == 0)) % 128
        running = min(value, 0x7FFF) + 0x8000 if value >= 0 else 0
        word = (self._changes << 16) + (self._operation << 24) + running
        self._c.outputs[f"output_int_register_{self._offset + 2}"] = word

    # Motion beside the main loop: a stream follows its newest target, a mover travels to the end of its way.

    def _end_motion(self) -> None:
        self._stream = self._servo_target = None
        if self._mover is not None:
            self._mover.close()
            self._mover = None
        if self._async:
            self._async = False
            self._progress(-1)

    def _stream_with(self, law: Callable[[], None]) -> None:
        if self._mover is not None:
            self._end_motion()
        self._stream = law

    def _maybe_async(self, moves: Moves) -> Moves:
        self._end_motion()
        if self._int(1) != 1:
            yield from moves
            return
        self._mover, self._async = moves, True
        self._progress(0)

    # Commands

    def _move(self, goal: FloatArray | Pose, linear: bool, v: float, a: float) -> Moves:
        q = np.asarray(goal) if isinstance(goal, np.ndarray) else self._geometry.inverse(goal, self._motion.q)
        self._waypoint = self._geometry.tcp(q)
        if not self._motion.reachable(q):
            raise ScriptError(f"target {np.round(q, 3).tolist()} rad is outside the joints' ranges")
        if linear:
            return motion.movel(self._motion, self._waypoint, v, a, self._c.speed_fraction)
        return motion.movej(self._motion, q, v, a, self._c.speed_fraction)

    def _movej(self) -> Moves:
        return self._maybe_async(self._move(self._joints(0), False, self._float(6), self._float(7)))

    def _movej_ik(self) -> Moves:
        return self._maybe_async(self._move(self._floats(0), False, self._float(6), self._float(7)))

    def _movel(self) -> Moves:
        return self._maybe_async(self._move(self._floats(0), True, self._float(6), self._float(7)))

    def _movel_fk(self) -> Moves:
        return self._maybe_async(self._move(self._joints(0), True, self._float(6), self._float(7)))

    def _move_path(self) -> Moves:
        return self._maybe_async(self._follow_path())

    def _follow_path(self) -> Moves:
        for found in self._path:
            if found["progress"] is not None:
                self._progress(int(found["progress"]))
                continue
            numbers = [float(number) for number in found["numbers"].split(",")]
            goal: FloatArray | Pose = numbers if found["pose"] else np.array(numbers)
            yield from self._move(goal, found["kind"] != "movej", float(found["v"]), float(found["a"]))

    def _servoj(self) -> None:
        self._servo(self._joints(0))

    def _servol(self) -> None:
        self._servo(self._geometry.inverse(self._floats(0), self._motion.q))

    def _servo(self, q_d: FloatArray) -> None:
        now = self._c.clock()
        if self._servo_target is None:
            self._servo_target, self._servo_since = self._motion.q.copy(), now
        if not np.array_equal(q_d, self._servo_target):
            why = self._motion.jump(q_d, self._servo_target, now - self._servo_since)
            if why is not None:
                self._c.protective_stop(why)
                return
            self._servo_since = now
        self._stream_with(partial(self._motion.servo, q_d, self._float(9), self._float(10)))
        self._servo_target = q_d

    def _speedj(self) -> None:
        velocity = self._joints(0) * self._c.speed_fraction()
        self._stream_with(partial(self._motion.speed, velocity, self._float(6)))

    def _speedl(self) -> None:
        self._stream_twist(self._joints(0), self._float(6))

    def _stream_twist(self, twist: FloatArray, acceleration: float) -> None:
        self._stream_with(lambda: self._motion.speed(self._joint_speed(twist * self._c.speed_fraction()), acceleration))

    def _joint_speed(self, twist: FloatArray) -> FloatArray:
        J = self._geometry.jacobian(self._motion.q)
        if np.linalg.cond(J) > 1e3:
            raise ScriptError("a speed of the tcp was asked for at a singular pose")
        return np.asarray(np.linalg.solve(J, twist))

    def _jog_start(self) -> None:
        speeds, feature, acceleration = self._joints(0), round(self._float(6)), self._float(7)
        frames = {0: [0.0] * 6, 1: self._geometry.tcp(self._motion.q), 2: self._floats(8)}
        R = matrix(frames.get(feature, frames[0]))[:3, :3]
        self._stream_twist(np.concatenate([R @ speeds[:3], R @ speeds[3:]]), acceleration)

    def _halt(self, moves: Moves) -> Moves:
        self._end_motion()
        yield from moves

    def _speed_stop(self) -> Moves:
        return self._halt(motion.stop(self._motion, max(self._float(0), DT)))

    def _servo_stop(self) -> Moves:
        return self._halt(motion.stopl(self._motion, max(self._float(0), DT)))

    def _stopl(self) -> Moves:
        return self._maybe_async(motion.stopl(self._motion, max(self._float(0), DT)))

    def _stopj(self) -> Moves:
        return self._maybe_async(motion.stop(self._motion, max(self._float(0), DT)))

    def _set_payload(self) -> None:
        self._c.set_payload(self._float(0), [self._float(i) for i in (1, 2, 3)])

    def _set_target_payload(self) -> None:
        self._set_payload()
        self._c.outputs["payload_inertia"] = self._floats(4)

    def _set_watchdog(self) -> None:
        self._c.set_watchdog(self.command_register, self._float(0))

    def _inverse(self, near: FloatArray) -> FloatArray | None:
        try:
            return self._geometry.inverse(self._floats(0), near)
        except Unreachable:
            return None

    def _inverse_kin(self, near: FloatArray) -> None:
        q = self._inverse(near)
        if q is None:
            raise ScriptError("get_inverse_kin: no solution")
        self._results(q.tolist())

    def _forward_kin(self) -> None:
        q, tcp = self._joints(0), self._floats(6)
        self._results(pose_of(matrix(self._geometry.flange(q)) @ matrix(tcp)))

    def _pose_trans(self) -> None:
        self._results(pose_of(matrix(self._floats(0)) @ matrix(self._floats(6))))

    def _joint_history(self) -> None:
        self._results(self._history[min(max(self._int(1), 0), len(self._history) - 1)])


_ACTIONS: dict[int, Callable[[ControlScript], Moves | None]] = {
    1: ControlScript._movej,
    2: ControlScript._movej_ik,
    3: ControlScript._movel,
    4: ControlScript._movel_fk,
    9: ControlScript._speedj,
    10: ControlScript._speedl,
    SERVOJ: ControlScript._servoj,
    15: ControlScript._speed_stop,
    16: ControlScript._servo_stop,
    17: ControlScript._set_payload,
    24: ControlScript._servol,
    25: lambda s: s._result(0),
    26: lambda s: s._results([DT]),
    27: ControlScript._joint_history,
    28: lambda s: s._results(s._waypoint),
    29: lambda s: s._geometry.set_tcp(s._floats(0)),
    30: lambda s: s._inverse_kin(s._joints(6)),
    31: lambda s: s._c.protective_stop("asked for by the program"),
    33: ControlScript._stopl,
    34: ControlScript._stopj,
    SET_WATCHDOG: ControlScript._set_watchdog,
    36: lambda s: s._result(s._inverse(s._motion.q) is not None),
    37: lambda s: s._result(s._motion.reachable(s._joints(0))),
    38: lambda s: s._results([0.0] * 6),
    39: ControlScript._pose_trans,
    40: lambda s: s._results(s._geometry.offset),
    41: ControlScript._jog_start,
    42: lambda s: s._halt(motion.stopl(s._motion, 1.2)),
    43: lambda s: s._results(s._geometry.tcp(s._motion.q)),
    44: ControlScript._forward_kin,
    45: ControlScript._move_path,
    46: lambda s: s._inverse_kin(s._motion.q),
    47: lambda s: s._result(s._c.steady()),
    54: lambda s: s._result(0),
    58: lambda s: s._results(s._geometry.flange(np.array(s._c.actual_q))),
    60: lambda s: s._result(s._inverse(s._motion.q) is not None),
    61: lambda s: s._result(s._inverse(s._joints(6)) is not None),
    63: lambda s: s._result(0),
    64: lambda s: s._result(0),
    65: ControlScript._set_target_payload,
}
"""Command numbers of the script; what they do to the controller."""
