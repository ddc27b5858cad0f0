"""A log of joint motion, whatever file it came from: ROS 2 bag, our own run log, or CSV."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robostral.arm.chain import FloatArray
from robostral.errors import RobostralError


class LogRefused(RobostralError):
    """A log that nothing can be identified from; says what is wrong, where, and what to record instead."""


@dataclass(frozen=True, eq=False)
class Log:
    """Samples of one run, as recorded.

    Attributes:
        name: Where it came from.
        t: Time from the first sample [s], shape (m,).
        q: Positions [rad], shape (m, n).
        dq: Velocities [rad/s], shape (m, n).
        tau: Torques [N·m], or motor currents [A] where `currents` is set, shape (m, n).
        currents: Whether `tau` holds currents.
    """

    name: str
    t: FloatArray
    q: FloatArray
    dq: FloatArray
    tau: FloatArray
    currents: bool = False


def read_log(path: Path, joint_names: Sequence[str]) -> Log:
    """Read a log; the ending of its name says how.

    Args:
        path: A `.csv`, a ROS 2 bag (`.db3`, `.mcap`, or its folder), or a run log of ours (`.mcap`).
        joint_names: Joints of the arm in order; the file's names may have a prefix more or less.

    Raises:
        LogRefused: The file cannot be read, or holds no joint motion.
    """
    from robostral_policies.identify.read_bag import read_bag
    from robostral_policies.identify.read_csv import read_csv
    from robostral_policies.identify.read_run import is_run_log, read_run

    if not path.exists():
        raise LogRefused(f"no log at '{path}'")
    reader: Callable[[Path, Sequence[str]], Log] = read_bag
    if path.suffix == ".csv":
        reader = read_csv
    elif path.suffix == ".mcap" and is_run_log(path):
        reader = read_run
    elif path.suffix not in {".db3", ".mcap"} and not path.is_dir():
        raise LogRefused(f"{path}: read are .csv, ROS 2 bags (.db3, .mcap, or their folder) and run logs (.mcap)")
    return check_numbers(reader(path, joint_names))


def check_numbers(log: Log) -> Log:
    """Refuse what is no series of finite numbers in time, and count time from zero.

    Raises:
        LogRefused: Names the row and the column.
    """
    if len(log.t) < 2:
        raise LogRefused(f"{log.name}: {len(log.t)} samples; record at least 10 s of motion at 30 Hz or more")
    for name, values in (("t", log.t[:, None]), ("q", log.q), ("dq", log.dq), (_last(log), log.tau)):
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            row, column = bad[0]
            column_name = name if name == "t" else f"{name}{column + 1}"
            raise LogRefused(
                f"{log.name}: {column_name} is not a finite number in row {row + 1} ({len(bad)} such values): leave out"
                " rows that a lost packet left empty"
            )
    steps = np.diff(log.t)
    back = np.flatnonzero(steps <= 0.0)
    if len(back):
        raise LogRefused(
            f"{log.name}: the clock steps by {steps[back[0]]:.6g} s after row {back[0] + 1} ({len(back)} such steps):"
            " record with the controller's own monotonic time"
        )
    return Log(log.name, log.t - log.t[0], log.q, log.dq, log.tau, log.currents)


def _last(log: Log) -> str:
    return "current" if log.currents else "tau"


def joint_order(label: str, found: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Find the wanted joints among those of a file, by name, with or without a prefix.

    Raises:
        LogRefused: A joint is missing or ambiguous; lists what is there.
    """
    order = []
    for name in wanted:
        hits = [i for i, other in enumerate(found) if other == name]
        hits = hits or [i for i, other in enumerate(found) if other.endswith(name) or name.endswith(other)]
        if len(hits) != 1:
            what = "has no joint" if not hits else "has more than one joint"
            raise LogRefused(f"{label}: {what} '{name}' (its joints: {', '.join(found)}); is --arm right?")
        order.append(hits[0])
    return order
