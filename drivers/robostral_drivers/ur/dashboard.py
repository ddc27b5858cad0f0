"""The controller's dashboard server (port 29999): one line of text in, one line out; and what only a twin understands.

Note:
    Answers from UR's dashboard server guide for e-Series. Lines that begin with `twin` belong to the twin alone; a real
    controller answers them with `could not understand`.
"""

from collections.abc import Callable

from robostral_drivers.ur.controller import Controller
from robostral_drivers.ur.rtde import VERSION
from robostral_drivers.ur.wire import RobotMode, RuntimeState, SafetyMode

GREETING = "Connected: Universal Robots Dashboard Server (a Robostral twin, not a robot)"
SERIAL_NUMBER = "00000000000"
"""A real one begins with the year the arm was made in."""
MAX_LINE = 4096

Lab = Callable[[list[str]], str]


class Dashboard:
    """One client of port 29999.

    Args:
        controller: The controller.
        lab: Answers the words after `twin`.
    """

    def __init__(self, controller: Controller, lab: Lab) -> None:
        self._controller, self._lab, self._buffer = controller, lab, b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the client and return the answers."""
        *lines, rest = (self._buffer + data).split(b"\n")
        self._buffer = rest[:MAX_LINE]
        return b"".join(self._answer(line.decode(errors="replace").strip()).encode() + b"\n" for line in lines)

    def _answer(self, line: str) -> str:
        words = line.lower().split()
        if words[:1] == ["twin"]:
            return self._lab(line.split()[1:])
        answer = _ANSWERS.get(" ".join(words))
        return f"could not understand: '{line}'" if answer is None else answer(self._controller)


def _unlock(c: Controller) -> str:
    if c.unlock_protective_stop():
        return "Protective stop releasing"
    return (
        "Cannot unlock protective stop until 5s after occurrence. "
        "Always inspect cause of protective stop before unlocking"
    )


def _stop(c: Controller) -> str:
    c.end_program("by the dashboard")
    return "Stopped"


def _pause(c: Controller) -> str:
    if c.runtime_state != RuntimeState.PLAYING:
        return "Failed to execute: pause"
    c.runtime_state = RuntimeState.PAUSED
    return "Pausing program"


def _power(mode: RobotMode, answer: str, needs: frozenset[RobotMode]) -> Callable[[Controller], str]:
    def change(c: Controller) -> str:
        if c.safety_mode == SafetyMode.NORMAL and c.robot_mode in needs:
            c.set_power(mode)
        return answer

    return change


_ANY = frozenset(RobotMode)

_ANSWERS: dict[str, Callable[[Controller], str]] = {
    "polyscopeversion": lambda c: "URSoftware {}.{}.{}.{} (Sep 21 2023)".format(*VERSION),
    "version": lambda c: "{}.{}.{}.{}".format(*VERSION),
    "get serial number": lambda c: SERIAL_NUMBER,
    "get robot model": lambda c: c.arm.name.upper().removesuffix("E"),
    "is in remote control": lambda c: str(c.remote).lower(),
    "robotmode": lambda c: f"Robotmode: {c.robot_mode.name}",
    "safetymode": lambda c: f"Safetymode: {c.safety_mode.name}",
    "safetystatus": lambda c: f"Safetystatus: {c.safety_mode.name}",
    "programstate": lambda c: f"{c.runtime_state.name} <unnamed>",
    "running": lambda c: f"Program running: {str(c.runtime_state == RuntimeState.PLAYING).lower()}",
    "get loaded program": lambda c: "No program loaded",
    "isprogramsaved": lambda c: "true <unnamed>",
    "get operational mode": lambda c: "NONE",
    "play": lambda c: "Failed to execute: play",
    "stop": _stop,
    "pause": _pause,
    "unlock protective stop": _unlock,
    "power on": _power(RobotMode.IDLE, "Powering on", frozenset({RobotMode.POWER_OFF})),
    "power off": _power(RobotMode.POWER_OFF, "Powering off", _ANY),
    "brake release": _power(RobotMode.RUNNING, "Brake releasing", frozenset({RobotMode.IDLE, RobotMode.POWER_OFF})),
    "close popup": lambda c: "closing popup",
    "close safety popup": lambda c: "closing safety popup",
    "restart safety": lambda c: "Restarting safety",
    "quit": lambda c: "Disconnected",
}
