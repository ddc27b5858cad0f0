"""The operator's door: a socket inside the run folder, which only its owner may enter; JSON, one answer per request."""

import os
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple

import msgspec
import zmq

from robostral.errors import RobostralError
from robostral.runtime.records import Answer, Op
from robostral.runtime.status import Status

SOCKET = "ctl.sock"
HANDLED_S = 10.0
"""The loop handles a command within a tick, but for a re-arm that has to connect to its plant anew."""


class ControlError(RobostralError):
    """The run is not there, or it refuses what was asked; says why."""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator asks: `goal` takes x y z [m] and optionally w x y z of a quaternion, `speed` a number (0, 1]."""

    op: Literal["status", "goal", "home", "stop", "rearm", "speed"]
    args: tuple[float, ...] = ()


class Response(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state after the request was handled, and why it was refused if it was."""

    status: Status
    error: str = ""


class Call(NamedTuple):
    """A request that waits for its answer."""

    client: bytes
    request: Request


class Door:
    """The server's side, polled by the transport.

    Args:
        folder: Run folder, made with mode 0700: the right to enter it is the right to command.
    """

    def __init__(self, folder: Path) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self.socket.linger, self.socket.maxmsgsize = 200, 1 << 16
        self._folder_fd, self._path = os.open(folder, os.O_RDONLY), folder / SOCKET
        self.socket.bind(_address(self._folder_fd, folder))

    def take(self) -> Call | None:
        """Return the next request, or None; what cannot be read is answered by nothing."""
        while True:
            try:
                client, *parts = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return None
            try:
                return Call(client, msgspec.json.decode(b"".join(parts), type=Request))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue

    def answer(self, call: Call, status: Status, error: str = "") -> None:
        """Answer a request; a client that is gone is forgotten."""
        try:
            self.socket.send_multipart([call.client, msgspec.json.encode(Response(status, error))], zmq.NOBLOCK)
        except zmq.ZMQError:
            return

    def close(self) -> None:
        """Close the door; calling it twice is harmless."""
        if not self._context.closed:
            self._context.destroy(linger=200)
            self._path.unlink(missing_ok=True)
            os.close(self._folder_fd)


class Control:
    """The operator's side.

    Args:
        folder: Run folder of a running loop.
        timeout_s: How long an answer may take [s].

    Raises:
        ControlError: Nothing runs there.
    """

    def __init__(self, folder: Path, timeout_s: float = HANDLED_S + 2.0) -> None:
        if not (folder / SOCKET).exists():
            raise ControlError(f"nothing runs in '{folder}'; start it with `robostral run`")
        self._folder, self._timeout_s = folder, timeout_s
        self._folder_fd = os.open(folder, os.O_RDONLY)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.connect(_address(self._folder_fd, folder))

    def ask(self, op: str, *args: float) -> Status:
        """Ask for `status`, `goal`, `home`, `stop`, `rearm` or `speed`; return the state after it was handled.

        Raises:
            ControlError: Nobody answers, or it was refused.
        """
        self._socket.send(msgspec.json.encode({"op": op, "args": [float(number) for number in args]}))
        if not self._socket.poll(round(1000 * self._timeout_s)):
            raise ControlError(f"the run in '{self._folder}' does not answer; has it ended?")
        response = msgspec.json.decode(self._socket.recv(), type=Response)
        if response.error:
            raise ControlError(response.error)
        return response.status

    def close(self) -> None:
        """Leave; calling it twice is harmless."""
        if not self._context.closed:
            self._context.destroy(linger=0)
            os.close(self._folder_fd)

    def __enter__(self) -> "Control":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def newest_run(runs: Path) -> Path:
    """Return the newest run folder with an open door.

    Raises:
        ControlError: There is none.
    """
    found = sorted(path.parent for path in runs.glob(f"*/{SOCKET}"))
    if not found:
        raise ControlError(f"nothing runs under '{runs}'; start it with `robostral run`, or name its folder")
    return found[-1]


def _address(folder_fd: int, folder: Path) -> str:
    """Name the socket; through the open folder where the system allows it, for its own path may exceed 107 bytes."""
    through = Path(f"/proc/self/fd/{folder_fd}")
    return f"ipc://{(through if through.exists() else folder) / SOCKET}"


class Desk:
    """Operator commands on their way through the loop: one at a time, in order, each answered when it was handled.

    Commands wait here, not in the mailbox, whose slot holds one only.

    Args:
        handled_s: How long the loop may take for one [s].
    """

    def __init__(self, handled_s: float = HANDLED_S) -> None:
        self._waiting: deque[Call] = deque()
        self._handled_s, self._deadline = handled_s, 0.0
        self.serial = 0

    def put(self, call: Call) -> None:
        """Queue a command."""
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


def explain(request: Request, answer: Answer, status: Status) -> str:
    """Say in one line why the loop refused a command; empty if it did not."""
    if answer == Answer.WRONG_MODE:
        ways = {"goal": "rearm first", "home": "stop and rearm first", "rearm": "wait until it is at rest"}
        return f"no '{request.op}' in {status.mode} ({status.cause}); {ways.get(request.op, 'see status')}"
    if answer == Answer.START_POSE:
        return f"not armed: the guard refuses the measured pose ({status.guard}), q = {_numbers(status.q)} rad"
    if answer == Answer.PLANT:
        return f"not armed: the plant reports {status.plant}"
    if answer == Answer.TOO_SLOW:
        return (
            f"no goal: the policy answers in {status.latency_us / 1e3:.1f} ms (smoothed), "
            f"it was trained for {status.max_latency_us / 1e3:.1f} ms at most"
        )
    if answer == Answer.NOT_AT_REST:
        return "not armed: the arm moves; wait until it stands"
    if answer == Answer.BAD_VALUE:
        return f"{request.op}: {_numbers(request.args)} is not a usable value"
    return ""


def _numbers(values: tuple[float, ...]) -> str:
    return "[" + ", ".join(f"{value:.4g}" for value in values) + "]"


OPS = {"rearm": Op.REARM, "stop": Op.STOP, "home": Op.HOME, "goal": Op.GOAL, "speed": Op.SPEED}
