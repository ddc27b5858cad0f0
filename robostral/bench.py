"""`robostral bench SUITE --json FILE`: everything with a number has one command that measures it again."""

import platform
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import msgspec


def kinematics(json: Path | None = None, poses: int = 10_000, states: int = 100_000) -> None:
    """Measure every kernel, its face and its batch, with Pinocchio, roboticstoolbox and PyBullet where installed.

    Args:
        json: File to write the report to; printed if there is none.
        poses: Random reachable poses for inverse kinematics.
        states: Random states for the accuracy against Pinocchio, for every arm.
    """
    from robostral.kinematics.benchmark import run

    write("kinematics", run(poses, states), json)


def mutants(bundle: str = "ur5e-reach-v1", *, n: int = 10_000, json: Path | None = None) -> int:
    """Load broken, forged, linked, swapped and outdated copies of a bundle; exit 1 if one of them loads.

    Args:
        bundle: Name or path of the bundle.
        n: How many copies.
        json: File to write the report to; printed if there is none.
    """
    from robostral.bundle.bench import run

    figures = run(bundle, n)
    write("mutants", figures, json)
    return 1 if figures["mutants"]["loaded"] else 0


def serve(
    bundle: str = "ur5e-reach-v1", *, n: int = 10_000, peer_python: Path | None = None, json: Path | None = None
) -> None:
    """Time a served policy: round trips against a bare CURVE echo and openpi's websocket, batches, 64 robots.

    Args:
        bundle: Name or path of the bundle to serve.
        n: Round trips of each kind.
        peer_python: Python of an environment with openpi-client and typing_extensions (it needs numpy 1).
        json: File to write the report to; printed if there is none.
    """
    from robostral.serving.benchmark import run

    write("serve", run(bundle, n, peer_python), json)


def machine() -> dict[str, Any]:
    """Describe where and when a figure was measured."""
    import os

    import numba
    import numpy as np

    from robostral.revision import revision

    model = next(
        (line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.processor()
    )
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "revision": revision(),
        "system": f"{platform.system()} {platform.release()}",
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "numba": numba.__version__},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []


def write(suite: str, figures: dict[str, Any], path: Path | None) -> None:
    """Write a suite's figures with the machine they were measured on, as JSON."""
    text = msgspec.json.format(msgspec.json.encode({"suite": suite, "machine": machine()} | figures), indent=2).decode()
    if path is None:
        print(text)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
        print(f"{suite}: {path}")


def _suites() -> dict[str, Callable[..., Any]]:
    """Return the suites of the core and those that other packages register under `robostral.benches`."""
    found: dict[str, Callable[..., Any]] = {"kinematics": kinematics, "mutants": mutants, "serve": serve}
    return found | {point.name: point.load() for point in entry_points(group="robostral.benches")}


COMMANDS = _suites()
