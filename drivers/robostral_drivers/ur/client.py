"""The vendor's client library, its rough edges covered: it prints, waits for minutes, and reconnects by itself."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from robostral.errors import DriverError
from robostral.extras import quiet, require

if sys.platform != "win32":
    import resource

CALL_S = 3.0
"""How long a call that waits for the controller may take [s]; the client itself would wait for minutes."""
FIELDS = [
    "timestamp",
    "actual_q",
    "actual_qd",
    "target_moment",
    "robot_mode",
    "runtime_state",
    "safety_status_bits",
]
"""Outputs that the receiving side asks for."""


class Client:
    """Both interfaces of ur_rtde to one controller.

    Attributes:
        receive: Its receiving interface.
        control: Its controlling interface; the constructor has started the control script.
        lost: Whether it was abandoned; neither interface may be used then.

    Args:
        host: Address of the controller.
        rate_hz: Rate of measurements [Hz].

    Raises:
        MissingExtra: The library is not installed.
        DriverError: The controller did not start the script.
    """

    def __init__(self, host: str, rate_hz: float) -> None:
        rtde_control, rtde_receive = require("rtde_control", "drivers"), require("rtde_receive", "drivers")
        self.lost = False
        self._leaving: threading.Thread | None = None
        try:
            with quiet():
                self.receive: Any = rtde_receive.RTDEReceiveInterface(host, rate_hz, list(FIELDS))
                self.control: Any = rtde_control.RTDEControlInterface(host, rate_hz)
        except Exception as error:  # several standard exceptions of C++
            raise DriverError(f"the controller at {host} did not start our program: {error}") from error

    def ask(self, call: Callable[[], object]) -> bool:
        """Make a call that waits for the controller; False when it was left alone after `CALL_S`."""
        thread = threading.Thread(target=call, daemon=True)
        with quiet():
            thread.start()
            thread.join(CALL_S)
        return not thread.is_alive()

    def abandon(self) -> None:
        """Give the connection up without waiting; calling it twice is harmless.

        Note:
            On a lost connection the client (1.6.5) connects anew from within its receiving thread, and then two threads
            read one socket, which can end the process. It cannot while no file descriptor is to be had.
        """
        if not self.lost:
            self.lost = True
            self._leaving = threading.Thread(target=self._leave, daemon=True)
            self._leaving.start()

    def close(self) -> None:
        """Leave; takes about a second, six where the controller hangs."""
        if self._leaving is not None:
            self._leaving.join()
        with quiet():
            # The client disconnects when it is dropped, and sleeps half a second over each connection.
            self.control = self.receive = None

    def _leave(self) -> None:
        with _no_new_descriptors():
            self.control.disconnect()
        self.receive.disconnect()


@contextmanager
def _no_new_descriptors() -> Iterator[None]:
    if sys.platform == "win32":
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
