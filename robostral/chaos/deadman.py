"""SIGKILL of the loop in mid-motion: the controller's own dead-man has to stop the arm."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from robostral.chaos.campaign import MOVE_S, refuse_real
from robostral.demo.plant import Plant
from robostral.demo.poses import insist, rearm, sample_goals
from robostral.extras import require
from robostral.process import ChildFailed
from robostral.runtime import report

REST = 0.02
"""Joint speed below which the arm stands [rad/s]."""
PATIENCE_S = 5.0


def run(count: int, seed: int, bundle: str, host: str, runs: Path, console: Console) -> dict[str, Any]:
    """Kill the loop `count` times and watch the twin over its own wire; return the evidence.

    Raises:
        MissingExtra: The vendor's client is not installed.
    """
    receive = require("rtde_receive", "drivers")
    rng = np.random.default_rng(seed)
    rest_ms, moving_on, armed_by_itself = [], 0, 0
    for _ in range(count):
        with Plant(bundle, host, runs, console) as plant:
            refuse_real(plant)
            armed_by_itself += plant.runtime.status().mode != "HOLD"
            goal = sample_goals(plant.bundle.manifest.lineage.environment, 1, int(rng.integers(1 << 31)))[0]
            watcher = receive.RTDEReceiveInterface(host)
            rearm(plant)
            insist(plant, "goal", *goal)
            time.sleep(float(rng.uniform(*MOVE_S)))
            os.kill(plant.runtime.pids["loop"], signal.SIGKILL)
            rested = _wait_for_rest(watcher)
            watcher.disconnect()
            moving_on += rested is None
            rest_ms += [] if rested is None else [rested]
            try:
                plant.runtime.check()
                raise AssertionError("a killed loop went unnoticed")
            except ChildFailed:
                pass
    failures = {"the arm moved on": moving_on, "armed by itself after the restart": armed_by_itself}
    return {
        "n": count,
        "failures": failures,
        "bound": None if any(failures.values()) else round(3.0 / count, 6),
        "rest_after_kill_ms": report.spread(np.array(rest_ms), 50, 99),
    }


def _wait_for_rest(watcher: Any) -> float | None:
    """Return how long the arm went on moving [ms]; None if it did not come to rest."""
    began = time.monotonic()
    still_since = None
    while time.monotonic() - began < PATIENCE_S:
        now = time.monotonic()
        if np.abs(watcher.getActualQd()).max() < REST:
            still_since = still_since or now
            if now - still_since > 0.2:
                return round(1e3 * (still_since - began), 1)
        else:
            still_since = None
        time.sleep(0.002)
    return None
