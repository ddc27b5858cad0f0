"""A hand on a running twin: its state, its faults, its time; for tests, demos and shells."""

import json
import socket
from types import TracebackType
from typing import Any

from robostral.errors import DriverError
from robostral_drivers.ur import wire


class Lab:
    """Talks to the `twin` lines of a twin's dashboard.

    Args:
        host: The twin's address.

    Raises:
        DriverError: No twin answers there.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        try:
            self._socket = socket.create_connection((host, wire.DASHBOARD_PORT), 5.0)
        except OSError as error:
            raise DriverError(f"no twin answers at {host}:{wire.DASHBOARD_PORT}: {error.strerror or error}") from error
        self._lines = self._socket.makefile("rw", encoding="utf-8", newline="\n")
        self._lines.readline()  # greeting

    def ask(self, line: str) -> str:
        """Send a line of the dashboard and return the answer.

        Raises:
            DriverError: The twin is gone, or it refused a line of its own.
        """
        try:
            self._lines.write(f"{line}\n")
            self._lines.flush()
            answer = self._lines.readline().strip()
        except OSError as error:
            raise DriverError(f"the twin is gone: {error}") from error
        if not answer or answer.startswith("refused: "):
            raise DriverError(answer or "the twin is gone")
        return answer

    def state(self) -> dict[str, Any]:
        """Return time [s], q and q_d [rad], whether the arm is at rest, program, safety, clients and slips."""
        return dict(json.loads(self.ask("twin state")))

    def fault(self, name: str, value: float = 1.0) -> None:
        """Cause a fault of `faults.Faults`."""
        self.ask(f"twin fault {name} {value}")

    def advance(self, ticks: int) -> None:
        """Let a lock-step twin live through some periods."""
        self.ask(f"twin advance {ticks}")

    def close(self) -> None:
        """Leave; calling it twice is harmless."""
        self._lines.close()
        self._socket.close()

    def __enter__(self) -> "Lab":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
