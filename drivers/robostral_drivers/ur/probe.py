"""Ask a controller who it is and whether it can move, before the vendor's client connects (which may block long)."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from robostral.errors import DriverError
from robostral_drivers.ur import wire
from robostral_drivers.ur.rtde import LOCKSTEP_FIELD, TWIN_FIELD
from robostral_drivers.ur.wire import Kind

TIMEOUT_S = 1.0
"""How long one answer may take [s]."""
_OLDEST = (5, 6)
"""First PolyScope whose dashboard tells model and remote control."""


@dataclass(frozen=True)
class Found:
    """What answered.

    Attributes:
        version: PolyScope version.
        is_twin: Whether it is ours, see `rtde.TWIN_FIELD`.
        lockstep: Whether its time passes only with our commands.
    """

    version: tuple[int, ...]
    is_twin: bool
    lockstep: bool


def probe(host: str, arm: str, rate_hz: float) -> Found:
    """Check everything that must hold before the arm can be moved.

    Raises:
        DriverError: Names the address, what is wrong, and what to do.
    """
    found = _ask_rtde(host, rate_hz)
    if not (5,) <= found.version < (6,) or found.version < _OLDEST:
        version = ".".join(map(str, found.version))
        raise DriverError(f"the controller at {host} runs PolyScope {version}; this driver needs 5.6 or a later 5.x")
    _ask_dashboard(host, arm)
    return found


def _ask_dashboard(host: str, arm: str) -> None:
    with _connection(host, wire.DASHBOARD_PORT) as connection:
        lines = connection.makefile("rw", encoding="utf-8", newline="\n")
        lines.readline()  # greeting

        def ask(question: str) -> str:
            lines.write(f"{question}\n")
            lines.flush()
            return lines.readline().strip()

        safety = ask("safetystatus").removeprefix("Safetystatus: ")
        if safety == "PROTECTIVE_STOP":
            raise DriverError(
                f"the arm at {host} is in a protective stop; find the cause, then unlock it on the pendant "
                f"or with: echo 'unlock protective stop' | nc {host} {wire.DASHBOARD_PORT}"
            )
        if safety not in {"NORMAL", "REDUCED"}:
            raise DriverError(f"the safety status at {host} is {safety}; clear it on the pendant")
        mode = ask("robotmode").removeprefix("Robotmode: ")
        if mode != "RUNNING":
            raise DriverError(f"the arm at {host} is {mode}; power it on and release the brakes")
        if ask("is in remote control") != "true":
            raise DriverError(f"the controller at {host} is in local control; switch the pendant to remote control")
        model = ask("get robot model")
        if model.upper().removesuffix("E") != arm.upper().removesuffix("E"):
            raise DriverError(f"the controller at {host} drives a {model}, not the '{arm}' of the preset")


def _ask_rtde(host: str, rate_hz: float) -> Found:
    with _connection(host, wire.RTDE_PORT) as connection:
        frames = _Frames(host, connection)
        if frames.ask(Kind.PROTOCOL_VERSION, struct.pack(">H", wire.PROTOCOL_VERSION)) != b"\x01":
            raise DriverError(f"{host}:{wire.RTDE_PORT} does not speak RTDE version {wire.PROTOCOL_VERSION}")
        version = frames.ask(Kind.CONTROLLER_VERSION)
        if len(version) != 16:
            raise DriverError(f"{host}:{wire.RTDE_PORT} told no controller version")
        is_twin, lockstep = (frames.knows(name, rate_hz) for name in (TWIN_FIELD, LOCKSTEP_FIELD))
        if not frames.knows("timestamp", rate_hz):
            raise DriverError(f"the controller at {host} does not send at {rate_hz:g} Hz; choose 1 to 500 Hz")
        frames.ask(Kind.START)
        frames.wait(Kind.DATA)
        return Found(struct.unpack(">4I", version), is_twin, lockstep)


class _Frames:
    """Questions and answers in RTDE frames."""

    def __init__(self, host: str, connection: socket.socket) -> None:
        self._host, self._connection = host, connection
        self._splitter = wire.Splitter()
        self._waiting: list[tuple[int, bytes]] = []

    def ask(self, kind: Kind, payload: bytes = b"") -> bytes:
        """Send a question and return the payload of its answer."""
        self._connection.sendall(wire.frame(kind, payload))
        return self.wait(kind)

    def knows(self, name: str, rate_hz: float) -> bool:
        """Whether the controller has an output of this name."""
        answer = self.ask(Kind.SETUP_OUTPUTS, struct.pack(">d", rate_hz) + name.encode())
        return bool(answer) and answer[0] != 0 and wire.NOT_FOUND.encode() not in answer

    def wait(self, kind: Kind) -> bytes:
        """Return the payload of the next frame of a kind; others are passed over."""
        while True:
            for found, payload in iter(self._next, None):
                if found == kind:
                    return payload
            try:
                data = self._connection.recv(4096)
                self._waiting += self._splitter.feed(data)
            except wire.BrokenFrame:
                data = b""
            if not data:
                raise DriverError(f"what listens at {self._host}:{wire.RTDE_PORT} speaks no RTDE")

    def _next(self) -> tuple[int, bytes] | None:
        return self._waiting.pop(0) if self._waiting else None


@contextmanager
def _connection(host: str, port: int) -> Iterator[socket.socket]:
    try:
        with socket.create_connection((host, port), TIMEOUT_S) as connection:
            yield connection
    except ConnectionRefusedError:
        raise DriverError(
            f"nothing listens at {host}:{port}; start the twin (robostral twin ur --host {host}) or check the address"
        ) from None
    except TimeoutError:
        raise DriverError(f"no answer from {host}:{port} within {TIMEOUT_S:g} s; check address and cable") from None
    except OSError as error:
        raise DriverError(f"cannot reach {host}:{port}: {error.strerror or error}; check the address") from error
