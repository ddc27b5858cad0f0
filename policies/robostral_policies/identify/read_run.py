"""Our own run logs: the ticks of `robostral run`, with the torques that the driver measured."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from robostral_policies.identify.log import Log, LogRefused


def is_run_log(path: Path) -> bool:
    """Tell whether an MCAP file was written by `robostral run`."""
    with path.open("rb") as file:
        return b"robostral" in file.read(256)


def read_run(path: Path, joint_names: Sequence[str]) -> Log:
    """Read a run log.

    Raises:
        LogRefused: Another number of joints, or no torque in its ticks.
    """
    from robostral.runtime.runlog import read

    ticks = read(path).ticks
    if "tau" not in ticks or not ticks["tau"].any():
        raise LogRefused(f"{path}: its ticks hold no torques; record with a driver that measures torque")
    q, dq, tau = (np.ascontiguousarray(ticks[name], dtype=np.float64) for name in ("q", "dq", "tau"))
    if q.ndim != 2 or q.shape[1] != len(joint_names):
        raise LogRefused(f"{path}: ticks have the shape {q.shape}, the arm has {len(joint_names)} joints")
    t_ns = ticks["t_ns"]
    return Log(str(path), 1e-9 * (t_ns - t_ns[:1]).astype(np.float64), q, dq, tau)
