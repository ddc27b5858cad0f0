"""What an operator may ask: checked before the loop sees it, handed over one at a time, and explained when refused."""

import time
from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral.arm.limits import Q_MAX, Q_MIN
from robostral.runtime.board import Board
from robostral.runtime.ctl import ANSWER_S, Call, Door, Request
from robostral.runtime.mailbox import Mailbox
from robostral.runtime.records import Answer, Op, empty
from robostral.runtime.status import Status, StatusReader

FloatArray = NDArray[np.float64]

OPS = {op.name.lower(): op for op in Op if op != Op.NONE}


class Desk:
    """Operator commands on their way through the loop: one at a time, in order, each answered when it was handled.

    Commands wait here, not in the mailbox, whose slot holds one only.

    Args:
        handled_s: How long the loop may take for one [s].
    """

    def __init__(self, handled_s: float = ANSWER_S - 2.0) -> None:
        self._waiting: deque[Call] = deque()
        self._handled_s, self._deadline = handled_s, 0.0
        self.serial = 0

    def put(self, call: Call) -> None:
        """Queue a command; a stop goes before all that wait."""
        if call.request.op == "stop" and self._deadline == 0.0:
            self._waiting.appendleft(call)
        elif call.request.op == "stop":
            self._waiting.insert(1, call)
        else:
            self._waiting.append(call)

    def next(self) -> Call | None:
        """Return the next command to hand to the loop, numbered `serial`, if it is free."""
        if self._deadline or not self._waiting:
            return None
        self.serial += 1
        self._deadline = time.monotonic() + self._handled_s
        return self._waiting[0]

    def handled(self, serial: int) -> Call | None:
        """Return the command that is done, now that the loop echoes `serial`; or that waited for too long."""
        if self._deadline and (serial >= self.serial or time.monotonic() > self._deadline):
            self._deadline = 0.0
            return self._waiting.popleft()
        return None


class Operator:
    """Stands between the door and the loop, inside the transport.

    Args:
        door: Where operators come in.
        mailbox: Where the loop takes commands from.
        board: External signals; a goal is one of them.
        arm: The arm, for the range of its joints.
        poses: Named joint positions [rad], each shape (n,).
    """

    def __init__(
        self, door: Door, mailbox: Mailbox, board: Board, arm: Arm, poses: Mapping[str, Sequence[float]]
    ) -> None:
        self._door, self._mailbox, self._board, self._arm, self._poses = door, mailbox, board, arm, poses
        self._desk, self._status = Desk(), StatusReader(mailbox)
        self._desk.serial = int(self._status.record["serial"])  # of the transport before this one
        self._record = empty(mailbox.operator.dtype)

    @property
    def mode(self) -> int:
        """Where the ladder stood when the loop last told."""
        return int(self._status.record["mode"])

    def serve(self, connected: bool) -> None:
        """Answer who waits; `connected` says whether a policy server answers."""
        while (call := self._door.take()) is not None:
            error = self._refuse(call.request, connected)
            if error or call.request.op == "status":
                self._door.answer(call, self._status.read(), error)
            else:
                self._desk.put(call)
        record = self._status.record
        done = self._desk.handled(int(record["serial"]))
        if done is not None:
            status, late = self._status.read(), int(record["serial"]) < self._desk.serial
            error = "the loop does not answer" if late else explain(done.request, Answer(int(record["answer"])), status)
            self._door.answer(done, status, error)
        todo = self._desk.next()
        if todo is not None:
            self._hand_in(todo.request)

    def _refuse(self, request: Request, connected: bool) -> str:
        """Say what is wrong with a request before the loop sees it; empty if nothing is."""
        op, args, n = request.op, request.args, self._arm.chain.n
        if op == "move_to" and request.name:
            known = ", ".join(sorted(self._poses))
            return "" if request.name in self._poses else f"no pose '{request.name}' (poses: {known})"
        wanted = {
            "goal": {3, 7}, "speed": {1}, "move_to": {n}, "jog": {n}, "jog_tcp": {6}, "tool": {3, 7}, "payload": {1, 4},
        }.get(op, {0})  # fmt: skip
        if len(args) not in wanted:
            return f"{op} takes {' or '.join(map(str, sorted(wanted)))} numbers, not {len(args)}"
        if not np.isfinite(args).all():
            return f"{op}: a number is not finite"
        if op == "speed" and not 0.0 < args[0] <= 1.0:
            return f"speed {args[0]:g} is outside (0, 1]"
        if op == "move_to":
            return self._out_of_range(args)
        if op in {"goal", "tool"} and len(args) == 7 and not 0.99 < np.linalg.norm(args[3:]) < 1.01:
            return f"{op}: the quaternion w x y z has the norm {np.linalg.norm(args[3:]):.3g}, not 1"
        if op == "payload" and not args[0] >= 0.0:
            return f"payload {args[0]:g} kg is negative"
        if op == "goal" and "goal" not in self._board.places:
            return "goal: the policy's contract takes none"
        if op in {"goal", "follow"} and not connected:
            return f"no {op} without a policy server: {self._status.read().server}"
        return ""

    def _out_of_range(self, q: Sequence[float]) -> str:
        low, high = self._arm.limits.array[Q_MIN], self._arm.limits.array[Q_MAX]
        for joint, value, least, most in zip(self._arm.chain.joint_names, q, low, high, strict=True):
            if not least <= value <= most:
                return f"move_to: joint '{joint}' = {value:.4g} rad is outside [{least:.4g}, {most:.4g}]"
        return ""

    def _hand_in(self, request: Request) -> None:
        op, args = request.op, request.args
        if op == "move_to" and request.name:
            args = tuple(self._poses[request.name])
        if op == "tool" and len(args) == 3:
            args = (*args, 1.0, 0.0, 0.0, 0.0)
        record = self._record
        record["serial"], record["op"], record["args"] = self._desk.serial, OPS[op], 0.0
        if op == "goal":
            self._board.put("goal", args if len(args) == 7 else (*args, *self._status.read().quat_wxyz))
        else:
            record["args"][: len(args)] = args
        self._mailbox.operator.publish(record)


def explain(request: Request, answer: Answer, status: Status) -> str:
    """Say in one line why the loop refused a command; empty if it did not."""
    op, ways = request.op, {"rearm": "wait until it is at rest", "resume": "nothing is held", "hold": "nothing moves"}
    latency, trained = status.latency_us / 1e3, status.max_latency_us / 1e3
    settings = {"tool", "payload"}
    lines = {
        Answer.DONE: "",
        Answer.WRONG_MODE: f"no '{op}' in {status.mode} ({status.cause}); "
        + (
            "stop first"
            if op in settings
            else ways.get(op, "rearm first" if status.mode == "HOLD" else "stop and rearm first")
        ),
        Answer.START_POSE: f"not armed: the guard refuses the measured pose ({status.guard}), "
        f"q = {_numbers(status.q)} rad",
        Answer.PLANT: f"not armed: the plant reports {status.plant}" + _NO_DATA.get(status.plant, ""),
        Answer.TOO_SLOW: f"no {op}: the policy answers in {latency:.1f} ms (smoothed), it was trained for "
        f"{trained:.1f} ms, and max_chunk_age_s of the preset lets no chunk live that long",
        Answer.NOT_AT_REST: f"no '{op}': the arm moves; wait until it stands",
        Answer.BAD_VALUE: f"{op}: {_numbers(request.args)} is not a usable value",
        Answer.NO_SIGNAL: f"no {op}: an external signal is missing or older than the contract allows",
        Answer.SELF_TEST: f"not armed: the self-test has seen {status.wakeups} wake-ups, it needs some seconds of them",
        Answer.LATE_WAKEUPS: f"not armed: the loop woke up {status.worst_wakeup_us:.0f} µs late, more than half a "
        "period; see PLANT_PC.md, or set accept_late_wakeups in the preset",
        Answer.NOT_TAKEN: f"{op}: this driver has no such setting",
        Answer.TOOL: "tool: the policy was trained for another one",
    }
    return lines[answer]


_NO_DATA = {"NO_DATA": ": nothing new, or what is no number"}


def _numbers(values: Sequence[float]) -> str:
    return "[" + ", ".join(f"{value:.4g}" for value in values) + "]"
