"""A digital twin of a UR controller: RTDE, script and dashboard ports of one address, over a World that moves."""

import contextlib
import json
import logging
import selectors
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from robostral.arm import load_arm
from robostral.driver import load_driver
from robostral.errors import DriverError, RobostralError
from robostral_drivers.ur import wire
from robostral_drivers.ur.controller import Controller, Plant
from robostral_drivers.ur.dashboard import GREETING, Dashboard
from robostral_drivers.ur.faults import Faults
from robostral_drivers.ur.motion import DT
from robostral_drivers.ur.rtde import Session

MAX_LATE_S = 0.1
"""A pause of the process is caught up with; from here on [s] the controller's time slips instead."""
MAX_BACKLOG = 1 << 16
"""A client that leaves more unread [bytes] is cut off."""
MAX_SCRIPT = 1 << 20
KEEP_ALIVE_S = 0.02
"""In lock-step the last outputs are repeated this often [s], so that clients do not give the connection up."""
COMMAND = struct.Struct("<8d")
"""Row of a recording: time of receipt [s], command number, its first six numbers."""

_log = logging.getLogger(__name__)


class Port(Protocol):
    """What answers the bytes of a client."""

    def feed(self, data: bytes) -> bytes:
        """Take bytes, return the answer."""
        ...


class ScriptPort:
    """Port 30003: programs come in, nothing goes out (a real one also streams its old state format)."""

    def __init__(self, load: Callable[[str], None]) -> None:
        self._load, self._buffer = load, b""

    def feed(self, data: bytes) -> bytes:
        """Start the control script once its last line has come; other programs are refused with a word."""
        self._buffer += data
        if self._buffer.endswith(b"\nend\n") or len(self._buffer) > MAX_SCRIPT:
            source, self._buffer = self._buffer.decode(errors="replace"), b""
            if source.startswith("def rtde_control():"):
                self._load(source)
            else:
                _log.warning("a program that is not ur_rtde's control script was refused: the twin runs no other")
        return b""


class Client:
    """One connection."""

    def __init__(self, connection: socket.socket, port: Port) -> None:
        self.socket, self.port, self._backlog = connection, port, b""

    def receive(self) -> bool:
        """Read what there is and answer it; False when the connection is over."""
        try:
            data = self.socket.recv(65536)
            if not data:
                return False
            return self.send(self.port.feed(data))
        except BlockingIOError:
            return True
        except (OSError, wire.BrokenFrame):
            return False

    def send(self, data: bytes) -> bool:
        """Send without waiting; False when the client is gone or does not read."""
        self._backlog += data
        if not self._backlog:
            return True
        try:
            self._backlog = self._backlog[self.socket.send(self._backlog) :]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return len(self._backlog) <= MAX_BACKLOG


class UrTwin:
    """The three ports and the clock of a twin; the process calls `serve`.

    Args:
        arm: Arm's name.
        host: Address to listen on; a second arm takes another 127.0.0.x, since clients fix the ports.
        q: Pose at start [rad], shape (n,); None is the arm's home.
        lockstep: Whether time passes only with commands (one period per package) or when asked for.
        record: File that takes every command as it came, rows of `COMMAND`.
        seed: Seed of the fault menu.

    Raises:
        UnknownName: No such arm, or no simulated plant is installed.
        DriverError: The address is in use or not ours.
    """

    def __init__(
        self,
        arm: str = "ur5e",
        host: str = "127.0.0.1",
        q: NDArray[np.float64] | None = None,
        lockstep: bool = False,
        record: Path | None = None,
        seed: int = 0,
    ) -> None:
        self.host, self._lockstep, self._running = host, lockstep, True
        self._selector = selectors.DefaultSelector()
        self._clients: list[Client] = []
        self.slips, model = 0, load_arm(arm)
        # Taken at once, so that a port in use is told at once; answered only when everything stands.
        listeners = _bind(host)
        self._record: IO[bytes] | None = record.open("wb", buffering=0) if record else None
        plant = cast(Plant, load_driver("sim", arm=arm, realtime=False))
        plant.connect(q) if q is not None else plant.connect()  # type: ignore[call-arg]
        self.controller = Controller(
            model,
            plant,
            clock=None if lockstep else time.monotonic,
            lockstep=lockstep,
            on_input=self._tick if lockstep else None,
            on_command=self._note if record else None,
        )
        self.faults = Faults(self.controller, seed)
        makers: dict[int, Callable[[], Port]] = {
            wire.RTDE_PORT: lambda: Session(self.controller.exchange),
            wire.SCRIPT_PORT: lambda: ScriptPort(self._load),
            wire.DASHBOARD_PORT: lambda: Dashboard(self.controller, self._lab),
        }
        for port, listener in listeners.items():
            listener.listen()
            self._selector.register(listener, selectors.EVENT_READ, makers[port])

    def serve(self) -> None:
        """Run until `stop`."""
        if self._lockstep:
            self._serve_lockstep()
        else:
            self._serve_realtime()

    def stop(self) -> None:
        """Make `serve` return; safe in a signal handler."""
        self._running = False

    def close(self) -> None:
        """Close ports, clients, World and recording; calling it twice is harmless."""
        for client in self._clients[:]:
            self._drop(client)
        for key in list((self._selector.get_map() or {}).values()):
            cast(socket.socket, key.fileobj).close()
        self._selector.close()
        self.controller.plant.close()
        if self._record:
            self._record.close()

    def __enter__(self) -> "UrTwin":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _serve_realtime(self) -> None:
        deadline = time.monotonic()
        while self._running:
            self._poll(0.0)
            self._tick()
            deadline += DT
            left = deadline - time.monotonic()
            if left > 0.0:
                time.sleep(left)
            elif left < -MAX_LATE_S:
                deadline -= left
                self.slips += 1

    def _serve_lockstep(self) -> None:
        while self._running:
            self._poll(0.0 if self.controller.busy else KEEP_ALIVE_S)
            if self.controller.busy:
                self._tick()
            else:
                self._emit()

    def _load(self, source: str) -> None:
        self.controller.load(source)
        if self._lockstep:
            self._tick()  # the script says that it is ready

    def _tick(self) -> None:
        self.controller.tick()
        self._emit()

    def _emit(self) -> None:
        for client in self._clients[:]:
            if isinstance(client.port, Session):
                package = client.port.output(self.controller.ticks)
                if not client.send(self.faults.wire.through(id(client), package)):
                    self._drop(client)

    def _poll(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            if isinstance(key.data, Client):
                if not key.data.receive():
                    self._drop(key.data)
            else:
                self._accept(cast(socket.socket, key.fileobj), key.data())

    def _accept(self, listener: socket.socket, port: Port) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            connection, _ = listener.accept()
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = Client(connection, port)
            self._clients.append(client)
            self._selector.register(connection, selectors.EVENT_READ, client)
            if isinstance(port, Dashboard):
                client.send(GREETING.encode() + b"\n")

    def _drop(self, client: Client) -> None:
        if client in self._clients:
            self._clients.remove(client)
            self._selector.unregister(client.socket)
            client.socket.close()
            if isinstance(client.port, Session):
                client.port.close()

    def _note(self, t: float, code: int, numbers: list[float]) -> None:
        if self._record:
            self._record.write(COMMAND.pack(t, code, *numbers))

    def _lab(self, words: list[str]) -> str:
        try:
            match words:
                case ["state"]:
                    return json.dumps(self._state())
                case ["fault", name, *value]:
                    self.faults.cause(name, *(float(number) for number in value[:1]))
                    return f"fault {name}"
                case ["advance", ticks]:
                    for _ in range(int(ticks)):
                        self._tick()
                    return f"time {self.controller.time:.3f}"
        except (RobostralError, ValueError) as error:
            return f"refused: {error}"
        return "refused: say `twin state`, `twin fault NAME [VALUE]` or `twin advance TICKS`"

    def _state(self) -> dict[str, object]:
        controller = self.controller
        return {
            "time": controller.time,
            "q": controller.actual_q,
            "q_d": controller.motion.q.tolist(),
            "at_rest": controller.steady(),
            "program": controller.runtime_state.name,
            "safety": controller.safety_mode.name,
            "clients": len(self._clients),
            "slips": self.slips,
        }


def read_commands(record: Path) -> NDArray[np.float64]:
    """Read a recording: rows of time of receipt [s], command number, its first six numbers; shape (T, 8)."""
    return np.frombuffer(record.read_bytes(), dtype="<f8").reshape(-1, 8)


def _bind(host: str) -> dict[int, socket.socket]:
    listeners: dict[int, socket.socket] = {}
    try:
        for port in (wire.RTDE_PORT, wire.SCRIPT_PORT, wire.DASHBOARD_PORT):
            listener = listeners[port] = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setblocking(False)
            listener.bind((host, port))
    except OSError as error:
        for listener in listeners.values():
            listener.close()
        raise DriverError(
            f"cannot serve a UR controller on {host}:{port} ({error.strerror}); "
            "end what listens there, or choose another address: --host 127.0.0.2"
        ) from error
    return listeners
