"""The operator's door: a socket inside the run folder; JSON, one answer per request.

Who may enter: the folder has mode 0700, and the kernel names the user at the other end (SO_PEERCRED); any user but the
one who runs the loop, and root, is turned away before a byte is read.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple

import msgspec
import zmq

from robostral.errors import RobostralError
from robostral.runtime.status import Status

SOCKET = "ctl.sock"
ANSWER_S = 12.0
"""How long an answer may take [s]: the loop handles a command within a tick, but for a re-arm that connects anew."""

Op = Literal[
    "status", "rearm", "stop", "hold", "resume", "home", "move_to", "jog", "jog_tcp", "goal", "follow", "speed", "tool",
    "payload",
]  # fmt: skip


class ControlError(RobostralError):
    """The run is not there, or it refuses what was asked; says why."""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator asks; `robostral.runtime.operator` says which numbers it takes. `name`: a pose of the preset."""

    op: Op
    args: tuple[float, ...] = ()
    name: str = ""


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
        folder: Run folder.
        user: Whom to let in, by the system's number; None is the user who runs this.
    """

    def __init__(self, folder: Path, user: int | None = None) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self.socket.linger, self.socket.maxmsgsize = 200, 1 << 16
        if hasattr(os, "geteuid"):
            for allowed in {0, os.geteuid() if user is None else user}:
                self.socket.setsockopt(zmq.IPC_FILTER_UID, allowed)
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

    def __init__(self, folder: Path, timeout_s: float = ANSWER_S) -> None:
        if not (folder / SOCKET).exists():
            raise ControlError(f"nothing runs in '{folder}'; start it with `robostral run`")
        self._folder, self._timeout_s = folder, timeout_s
        self._folder_fd = os.open(folder, os.O_RDONLY)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.connect(_address(self._folder_fd, folder))

    def ask(self, op: str, *args: float, name: str = "") -> Status:
        """Ask for one thing, see `Request`; return the state after it was handled.

        Raises:
            ControlError: Nobody answers, or it was refused.
        """
        self._socket.send(msgspec.json.encode({"op": op, "args": [float(number) for number in args], "name": name}))
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
