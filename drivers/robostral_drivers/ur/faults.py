"""The twin's fault menu: what can be done to a controller and to its wire, by name, seeded."""

import random
from collections import deque
from collections.abc import Callable

from robostral.errors import UnknownName
from robostral_drivers.ur.controller import Controller
from robostral_drivers.ur.wire import RobotMode


class Wire:
    """Faults of the output stream, the same for every client.

    Attributes:
        frozen: Nothing goes out.
        drop: Share of packages that are lost.
        delay: Periods that every package waits.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - faults, not secrets
        self.frozen, self.drop, self.delay = False, 0.0, 0
        self._waiting: dict[int, deque[bytes]] = {}

    def through(self, client: int, package: bytes) -> bytes:
        """Return what reaches this client in this period."""
        if not package or self.frozen or (self.drop and self._random.random() < self.drop):
            return b""
        if not self.delay:
            return package
        waiting = self._waiting.setdefault(client, deque())
        waiting.append(package)
        return waiting.popleft() if len(waiting) > self.delay else b""


class Faults:
    """The menu.

    Args:
        controller: Whom stops and modes happen to.
        seed: Seed of everything random.
    """

    def __init__(self, controller: Controller, seed: int = 0) -> None:
        self.wire = Wire(seed)
        self._menu: dict[str, Callable[[float], object]] = {
            "protective_stop": lambda _: controller.protective_stop("asked for"),
            "emergency_stop": lambda _: controller.emergency_stop(),
            "release_emergency_stop": lambda _: controller.release_emergency_stop(),
            "power_off": lambda _: controller.set_power(RobotMode.POWER_OFF),
            "program_stop": lambda _: controller.end_program("asked for"),
            "local_control": lambda on: setattr(controller, "remote", not on),
            "freeze": lambda on: setattr(self.wire, "frozen", bool(on)),
            "drop": lambda share: setattr(self.wire, "drop", share),
            "delay": lambda periods: setattr(self.wire, "delay", round(periods)),
        }

    def cause(self, name: str, value: float = 1.0) -> None:
        """Let a fault happen; `freeze`, `local_control`, `drop` and `delay` end with the value 0.

        Raises:
            UnknownName: Not on the menu.
        """
        if name not in self._menu:
            raise UnknownName("fault", name, self._menu)
        self._menu[name](value)
