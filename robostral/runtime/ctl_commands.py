"""`robostral ctl ...`: everything that an operator may ask of a running cell, from another terminal."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

Numbers = tyro.conf.Positional[tuple[float, ...]]
JOG_PERIOD_S = 0.05
"""A jog is asked for again this often; the loop lets go after 0.25 s of silence."""


@dataclass(frozen=True)
class Where:
    """Which run is meant.

    Args:
        run: Run folder; the newest one if left out.
        runs: Where to look for it.
    """

    run: Path | None = None
    runs: Path = Path("runs")


Run = Annotated[Where, tyro.conf.arg(name="")]
HERE = Where()


def _ask(where: Where, op: str, *args: float, name: str = "") -> None:
    from robostral.runtime.ctl import Control, newest_run

    with Control(where.run or newest_run(where.runs)) as control:
        print(control.ask(op, *args, name=name).line())


def status(*, where: Run = HERE) -> None:
    """Print where the loop stands and why."""
    _ask(where, "status")


def rearm(*, where: Run = HERE) -> None:
    """Arm the loop, at the start and after every stop: it reads the pose anew and begins a new session."""
    _ask(where, "rearm")


def stop(*, where: Run = HERE) -> None:
    """Begin a jerk-limited stop now, and stay locked until `rearm`."""
    _ask(where, "stop")


def hold(*, where: Run = HERE) -> None:
    """Slow down to a standstill on the path and stay armed; `resume` goes on."""
    _ask(where, "hold")


def resume(*, where: Run = HERE) -> None:
    """Go on after `hold`."""
    _ask(where, "resume")


def home(*, where: Run = HERE) -> None:
    """Move home, guarded and jerk-limited; the loop must be armed and at rest."""
    _ask(where, "home")


def move_to(pose: tyro.conf.Positional[tuple[str, ...]], *, where: Run = HERE) -> None:
    """Move to a named pose of the preset, or to joint positions [rad], guarded and jerk-limited.

    Args:
        pose: A name, or one number for each joint.
        where: Which run is meant.
    """
    from robostral.errors import ConfigError

    if len(pose) == 1:
        return _ask(where, "move_to", name=pose[0])
    try:
        return _ask(where, "move_to", *map(float, pose))
    except ValueError:
        raise ConfigError(f"move_to takes a pose's name, or numbers [rad], not '{' '.join(pose)}'") from None


def jog(velocity: Numbers, *, tcp: bool = False, seconds: float = 0.0, where: Run = HERE) -> None:
    """Move for as long as this command runs: joint velocities [rad/s], or with --tcp a twist of the tcp.

    Ctrl-C lets go, and so does everything that ends this command: after 0.25 s of silence the arm comes to rest by
    itself. At most a quarter of the joints' speeds, and 0.25 m/s.

    Args:
        velocity: One number per joint [rad/s]; with --tcp X Y Z [m/s] and RX RY RZ [rad/s], axes of `base`.
        tcp: Move the tcp instead of the joints.
        seconds: Let go after this long [s]; 0 waits for Ctrl-C.
        where: Which run is meant.
    """
    import time

    from robostral.runtime.ctl import Control, newest_run

    with Control(where.run or newest_run(where.runs)) as control:
        until = time.monotonic() + seconds
        while True:
            answer = control.ask("jog_tcp" if tcp else "jog", *velocity)
            if seconds and time.monotonic() >= until:
                break
            time.sleep(JOG_PERIOD_S)
        print(answer.line())


def goal(numbers: Numbers, *, where: Run = HERE) -> None:
    """Send the policy to a pose of the tcp in `base`: X Y Z [m], and W X Y Z of a quaternion (else as it is now).

    Args:
        numbers: X Y Z, or X Y Z W X Y Z.
        where: Which run is meant.
    """
    _ask(where, "goal", *numbers)


def follow(*, where: Run = HERE) -> None:
    """Let the policy run on the external signals that the cell subscribes to: goal, part, belt."""
    _ask(where, "follow")


def speed(factor: tyro.conf.Positional[float], *, where: Run = HERE) -> None:
    """Override the speed: stretches the time of every path.

    Args:
        factor: Above 0, at most 1.
        where: Which run is meant.
    """
    _ask(where, "speed", factor)


def tool(numbers: Numbers, *, where: Run = HERE) -> None:
    """Set the tcp's pose in the flange, while the loop is locked; the policy must have been trained for it.

    Args:
        numbers: X Y Z [m], and W X Y Z of a quaternion (else not turned).
        where: Which run is meant.
    """
    _ask(where, "tool", *numbers)


def payload(numbers: Numbers, *, where: Run = HERE) -> None:
    """Tell the robot's controller, in torque mode our law, what the arm carries, while the loop is locked.

    Args:
        numbers: Mass [kg], and X Y Z of its centre in the flange [m] (else the flange itself).
        where: Which run is meant.
    """
    _ask(where, "payload", *numbers)


def picture(form: Literal["svg", "text"] = "svg") -> None:
    """Print the picture of the state machine, made from the table that the loop runs by.

    Args:
        form: svg, or the same as lines of text.
        where: Which run is meant.
    """
    from robostral.runtime.picture import as_svg, as_text

    print(as_svg() if form == "svg" else as_text(), end="")


CTL: dict[str, Callable[..., Any]] = {
    "status": status,
    "rearm": rearm,
    "arm": rearm,
    "stop": stop,
    "hold": hold,
    "resume": resume,
    "home": home,
    "move_to": move_to,
    "jog": jog,
    "goal": goal,
    "follow": follow,
    "speed": speed,
    "tool": tool,
    "payload": payload,
    "picture": picture,
}
