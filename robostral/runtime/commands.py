"""`robostral run PRESET` and `robostral ctl status | goal | home | stop | rearm | speed`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import tyro

Runs = Annotated[Path, tyro.conf.arg(metavar="FOLDER")]


def run(preset: str, /, *, runs: Runs | None = None) -> None:
    """Run a cell until Ctrl-C: loop, transport and recorder, with a live status line.

    It starts locked: `robostral ctl rearm` arms it, `home` and `goal` move it, from another terminal. Ctrl-C brakes
    first and leaves then.

    Args:
        preset: Name under configs/run, or a YAML file.
        runs: Folder that the run folder is made in; the preset's own if left out.
    """
    import time

    import msgspec
    from rich.console import Console
    from rich.live import Live

    from robostral import config as presets
    from robostral.runtime.config import RunConfig
    from robostral.runtime.launch import Runtime

    console = Console()
    config = presets.load("run", preset, RunConfig)
    if runs is not None:
        config = msgspec.structs.replace(config, runs=str(runs))
    with Runtime(config) as runtime:
        console.print(f"ready {runtime.folder}", soft_wrap=True)
        if runtime.notes:
            console.print(f"the loop runs with {runtime.notes}", soft_wrap=True)
        with Live(console=console, auto_refresh=False) as live:
            while True:
                runtime.check()
                live.update(runtime.status().line(), refresh=True)
                time.sleep(0.1)


def _ask(op: str, args: tuple[float, ...], run_folder: Path | None, runs: Path) -> None:
    from robostral.runtime.ctl import Control, newest_run

    with Control(run_folder or newest_run(runs)) as control:
        print(control.ask(op, *args).line())


def status(*, run: Path | None = None, runs: Path = Path("runs")) -> None:
    """Print where the loop stands and why.

    Args:
        run: Run folder; the newest one if left out.
        runs: Where to look for it.
    """
    _ask("status", (), run, runs)


def goal(
    numbers: tyro.conf.Positional[tuple[float, ...]], *, run: Path | None = None, runs: Path = Path("runs")
) -> None:
    """Send the policy to a pose of the tcp in `base`: X Y Z [m], and W X Y Z of a quaternion (else as it is now).

    Args:
        numbers: X Y Z, or X Y Z W X Y Z.
        run: Run folder; the newest one if left out.
        runs: Where to look for it.
    """
    _ask("goal", numbers, run, runs)


def home(*, run: Path | None = None, runs: Path = Path("runs")) -> None:
    """Move home, guarded and jerk-limited; the loop must be armed and at rest.

    Args:
        run: Run folder; the newest one if left out.
        runs: Where to look for it.
    """
    _ask("home", (), run, runs)


def stop(*, run: Path | None = None, runs: Path = Path("runs")) -> None:
    """Begin a jerk-limited stop now, and stay locked.

    Args:
        run: Run folder; the newest one if left out.
        runs: Where to look for it.
    """
    _ask("stop", (), run, runs)


def rearm(*, run: Path | None = None, runs: Path = Path("runs")) -> None:
    """Arm the loop, at the start and after every stop: it reads the pose anew and begins a new session.

    Args:
        run: Run folder; the newest one if left out.
        runs: Where to look for it.
    """
    _ask("rearm", (), run, runs)


def speed(factor: tyro.conf.Positional[float], *, run: Path | None = None, runs: Path = Path("runs")) -> None:
    """Override the speed: stretches the time of every path.

    Args:
        factor: Above 0, at most 1.
        run: Run folder; the newest one if left out.
        runs: Where to look for it.
    """
    _ask("speed", (factor,), run, runs)


CTL: dict[str, Callable[..., Any]] = {
    "status": status,
    "goal": goal,
    "home": home,
    "stop": stop,
    "rearm": rearm,
    "speed": speed,
}
