"""The main job end to end: real twin, real server, real vendor client, real kills."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rtde_control")

KEYS = set(
    "poses successes latency_us setpoint_age_ms wakeup_us overruns guard bundle contract versions".split()  # noqa: SIM905
)


def demo(folder: Path, *args: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    command = [sys.executable, "-m", "robostral", "demo", "--runs", str(folder), *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    runs = list(folder.glob("*-demo"))
    assert len(runs) == 1, done.stderr
    return done, runs[0]


def test_the_demo_reaches_its_poses_and_says_so(tmp_path: Path) -> None:
    done, run = demo(tmp_path, "--poses", "3", "--host", "127.0.0.85")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((run / "summary.json").read_text())
    assert summary.keys() >= KEYS
    assert summary["successes"] == summary["poses"] == 3
    assert {"p50", "p99"} <= summary["latency_us"].keys() & summary["setpoint_age_ms"].keys()
    assert {"p50", "p99", "p999", "max"} <= summary["wakeup_us"].keys()
    assert summary["guard"]["rejected"] == 0
    assert summary["guard"]["passed"] > 0
    assert summary["oracle"]["wire_differences"] == 0
    assert summary["oracle"]["wire_commands"] == summary["oracle"]["commands"] > 1000
    assert not any(found["violations"] for found in summary["oracle"]["limits"].values())
    assert (run / "report.html").stat().st_size > 50_000
    assert not list(run.glob("*.sock"))
    assert not list(run.rglob("*.key"))


def test_chaos_stops_every_time_as_promised_and_arrives_after_all(tmp_path: Path) -> None:
    done, run = demo(tmp_path, "--chaos", "--poses", "5", "--host", "127.0.0.86")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((run / "summary.json").read_text())
    assert len(summary["kills"]) == 5
    assert all(kill["in_time"] and kill["reached_after_all"] for kill in summary["kills"])
    assert summary["ladder"]["brake"] >= 5
    assert not any(found["violations"] for found in summary["oracle"]["limits"].values())


def test_a_demo_of_no_poses_is_refused() -> None:
    command = [sys.executable, "-m", "robostral", "demo", "--poses", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.strip()) == (2, "robostral: poses = 0 must be at least 1")


def test_a_run_comes_back_after_the_controller_stopped_its_program(tmp_path: Path) -> None:
    from rich.console import Console
    from robostral_drivers.ur.lab import Lab

    from robostral.demo.plant import Plant
    from robostral.demo.poses import go_home, rearm, wait_for

    with Plant("ur5e-reach-v1", "127.0.0.87", tmp_path, Console(quiet=True)) as plant:
        go_home(plant)
        for _ in range(2):
            Lab("127.0.0.87").fault("program_stop")
            wait_for(plant, lambda status: status.mode == "FAULT", "the loop to notice")
            rearm(plant)
            plant.runtime.control.ask("home")
            assert wait_for(plant, lambda status: status.mode == "IDLE", "the arm to be home").plant == "OK"
