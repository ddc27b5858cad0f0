"""`robostral log show | plot | recover`: a run's log for people, and as a whole file again."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robostral.runtime.runlog import RunLog


def show(log: Path, /) -> None:
    """Print what a log holds: how long, how well in time, and every event.

    Args:
        log: A log, or a run folder.
    """
    from rich.console import Console
    from rich.table import Table

    from robostral.runtime import report, runlog

    run, console = runlog.read(log), Console()
    if not run.ticks:
        return console.print(f"no ticks in {log}; {len(run.events)} events", soft_wrap=True)
    table = Table("what", "value", title=str(log))
    for name, value in summary(run).items():
        table.add_row(name, report.text(value))
    console.print(table)
    start = int(run.ticks["t_ns"][0])
    for event in run.events:
        console.print(f"{1e-9 * (event.t_ns - start):10.3f} s  {event.kind:8}  {event.text}", soft_wrap=True)
    return None


def summary(run: "RunLog") -> dict[str, Any]:
    """Sum a log up: ticks, sessions, wake-ups, compute time, latency, stops."""
    import numpy as np

    from robostral.runtime import report
    from robostral.runtime.ladder import Mode

    ticks = run.ticks
    latency, braking = ticks["latency_ns"], ticks["mode"] == Mode.BRAKE
    return {
        "whole": run.whole,
        "ticks": len(ticks["tick"]),
        "ticks missing": int((np.diff(ticks["tick"]) - 1).sum()),
        "duration_s": round(1e-9 * int(ticks["t_ns"][-1] - ticks["t_ns"][0]), 3),
        "sessions": int((np.diff(ticks["session"].astype(np.int64)) != 0).sum()) + 1,
        "stops": int((np.diff(braking.astype(int), prepend=0) > 0).sum()),
        "overruns": int(ticks["overrun"][-1]),
        "wakeup_us": report.spread(1e-3 * ticks["wakeup_ns"], 50, 99, 99.9),
        "compute_us": report.spread(1e-3 * ticks["compute_ns"], 50, 99, 99.9),
        "latency_us": report.spread(1e-3 * latency[latency >= 0], 50, 99),
    }


def plot(log: Path, /, *, out: Path | None = None) -> None:
    """Write a self-contained HTML page with plots of joints, tracking, torques, latency and events.

    Args:
        log: A log, or a run folder.
        out: The page; `report.html` beside the log if left out.
    """
    from robostral.arm import load_arm
    from robostral.errors import ConfigError
    from robostral.runtime import report, runlog

    run = runlog.read(log)
    if not run.ticks:
        raise ConfigError(f"no ticks in '{log}'")
    folder = log if log.is_dir() else log.parent
    page = out or folder / "report.html"
    series = report.series_of(run, load_arm(run.config["arm"]).chain.joint_names)
    print(report.write_report(page.parent, f"Run {folder.name}", summary(run), series, page.name))


def recover(log: Path, /, *, out: Path | None = None) -> None:
    """Write the whole chunks of a log that was cut off, and its index, as a whole file that every MCAP tool opens.

    Args:
        log: The log.
        out: The new file; `NAME.recovered.mcap` beside it if left out.
    """
    from robostral.runtime.recover import rewrite

    target = out or log.with_suffix(".recovered.mcap")
    messages, whole = rewrite(log, target)
    print(f"{target}: {messages} messages{'; the log was whole' if whole else ''}")


LOG: dict[str, Callable[..., Any]] = {"show": show, "plot": plot, "recover": recover}
