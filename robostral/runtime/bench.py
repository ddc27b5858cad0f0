"""`robostral bench loop`: how late the loop wakes up, how long it computes; beside cyclictest, alone and disturbed."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robostral.runtime import realtime, report

RATES_HZ = (500.0, 1000.0)
WAKEUP_RATIO, WAKEUP_SHARE, DISTURBED_RATIO, COMPUTE_US, GUARD_US = 1.5, 0.1, 2.0, 60.0, 20.0
"""The bars: p99.9 at most so many times cyclictest's, at most this share of the period, at most so many times that of
an undisturbed machine; p99.9 of law and guard from read to write, and of the guard alone [µs]."""
_BUSY = (
    "import sys, threading, time\nfrom robostral.runtime import realtime\n"
    "realtime.keep_off(int(sys.argv[2]))\ndef hog():\n    while True: sum(range(1000))\n"
    "threading.Thread(target=hog, daemon=True).start()\n"  # an ordinary thread beside one of the transport's rank
    "realtime.precede(int(sys.argv[1])) if int(sys.argv[1]) else None\nprint('ready', flush=True)\n"
    "while True: time.sleep(0.001)\n"
)
_KERNELS = (
    "import json, sys\nfrom robostral.guard import bench\nfrom robostral.runtime import realtime\n"
    "bench.run(ticks=100)\nrealtime.enter(int(sys.argv[1]))\nprint(json.dumps(bench.run()))\n"
)
_WRITER = (
    "import os, sys\nfrom robostral.runtime import realtime\nrealtime.keep_off(int(sys.argv[2]))\n"
    "block = os.urandom(1 << 22)\nprint('ready', flush=True)\n"
    "while True:\n    with open(sys.argv[1], 'wb') as file:\n        for _ in range(16):\n"
    "            file.write(block); file.flush(); os.fsync(file.fileno())\n"
)


def run(seconds: float, slice_s: float, core: int | None) -> dict[str, Any]:
    """Measure alone, then disturbed, for `seconds` [s] each in slices of `slice_s` [s]; return the figures."""
    chosen = max(os.sched_getaffinity(0)) if core is None else core
    alone = _measure(seconds, slice_s, chosen)
    with _disturbed(chosen):
        disturbed = _measure(seconds, slice_s, chosen)
    figures = {"core": chosen, "priority": realtime.PRIORITY, "alone": alone, "disturbed": disturbed}
    kernels = _kernels(chosen)
    return figures | {"kernels": kernels, "short": _short(alone, disturbed, kernels)}


def _measure(seconds: float, slice_s: float, core: int) -> dict[str, Any]:
    """Alternate slices of the loop and of cyclictest, for every rate."""
    count = max(round(seconds / (2.0 * len(RATES_HZ) * slice_s)), 1)
    found: dict[str, Any] = {}
    for rate in RATES_HZ:
        ours: list[NDArray[np.float64]] = []
        theirs: list[dict[str, float]] = []
        stolen = [0, 0]
        with _Beat(rate, core) as beat:
            for _ in range(count):
                before = _steal_ms(core)
                ours.append(beat.slice(slice_s))
                between = _steal_ms(core)
                theirs += _cyclictest(rate, slice_s, core)
                stolen = [stolen[0] + between - before, stolen[1] + _steal_ms(core) - between]
            found[f"{rate:g} Hz"] = _figures(ours, beat.compute, theirs, stolen) | beat.hello
            found[f"{rate:g} Hz"]["machine_us"] = report.spread(beat.floor(slice_s), 50, 99, 99.9)
    return found


class _Beat:
    """The loop in its own process, see `robostral.runtime.beat`."""

    def __init__(self, rate_hz: float, core: int) -> None:
        command = [sys.executable, "-m", "robostral.runtime.beat", str(rate_hz), str(core)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.compute: list[float] = []

    def __enter__(self) -> "_Beat":
        self.hello = self._hear()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def slice(self, seconds: float) -> NDArray[np.float64]:
        """Return the lateness of every tick of a slice [µs]."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        found = self._hear()
        self.compute += [1e-3 * value for value in found["compute_ns"]]
        return 1e-3 * np.array(found["wakeup_ns"], dtype=np.float64)

    def floor(self, seconds: float) -> NDArray[np.float64]:
        """Return how long ticks of the same median take that compute nothing [µs]."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds} {round(1e3 * float(np.median(self.compute)))}\n")
        self._process.stdin.flush()
        return 1e-3 * np.array(self._hear()["compute_ns"], dtype=np.float64)

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the loop under test ended, see above")
        found: dict[str, Any] = json.loads(line)
        return found


def _cyclictest(rate_hz: float, seconds: float, core: int) -> list[dict[str, float]]:
    """Run cyclictest for one slice; return p50, p99.9 and the maximum [µs], or nothing where it is not installed."""
    if shutil.which("cyclictest") is None:
        return []
    command = ["cyclictest", "-q", "-m", "-t1", "-a", str(core), "-p", str(realtime.PRIORITY), "--policy=fifo"]
    command += ["-i", str(round(1e6 / rate_hz)), "-l", str(round(seconds * rate_hz)), "-h", "100000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = [line.split() for line in done.stdout.splitlines() if line[:1].isdigit()]
    late = np.array([[int(row[0]), int(row[1])] for row in rows], dtype=np.float64).reshape(-1, 2)
    if done.returncode or not late[:, 1].sum():
        return []
    share = np.cumsum(late[:, 1]) / late[:, 1].sum()
    worst = [line for line in done.stdout.splitlines() if line.startswith("# Max Latencies:")]
    most = float(worst[0].split()[-1]) if worst else float(late[-1, 0])
    p50, p999 = (float(late[np.searchsorted(share, part), 0]) for part in (0.5, 0.999))
    return [{"p50": p50, "p999": p999, "max": most}]


def _figures(
    ours: list[NDArray[np.float64]], compute: list[float], theirs: list[dict[str, float]], stolen: list[int]
) -> dict[str, Any]:
    every = np.concatenate(ours)
    p999 = [float(np.percentile(part, 99.9)) for part in ours]
    beside: Any = "cyclictest is not installed (Debian's rt-tests)"
    if theirs:
        beside = {
            "p999_median": float(np.median([each["p999"] for each in theirs])),
            "p999_slices": [each["p999"] for each in theirs],
            "p50_median": float(np.median([each["p50"] for each in theirs])),
            "max": max(each["max"] for each in theirs),
            "stolen_ms": stolen[1],
        }
    return {
        "loop.wakeup_us": report.spread(every, 50, 99, 99.9)
        | {"p999_median": round(float(np.median(p999)), 3), "p999_slices": np.round(p999, 3).tolist()},
        "loop.compute_us": report.spread(np.array(compute), 50, 99, 99.9),
        "stolen_ms": stolen[0],
        "cyclictest": beside,
    }


def _short(alone: dict[str, Any], disturbed: dict[str, Any], kernels: dict[str, Any]) -> list[str]:
    """Say what misses its bar, one line each."""
    lines = []
    for name, found in alone.items():
        ours, period_us = found["loop.wakeup_us"]["p999_median"], 1e6 / float(name.split()[0])
        if isinstance(found["cyclictest"], dict) and ours > WAKEUP_RATIO * max(found["cyclictest"]["p999_median"], 1.0):
            lines.append(f"{name}: p99.9 {ours} µs, cyclictest {found['cyclictest']['p999_median']} µs")
        if ours > WAKEUP_SHARE * period_us:
            lines.append(f"{name}: p99.9 {ours} µs is more than {WAKEUP_SHARE:.0%} of the period")
        with_others = disturbed[name]["loop.wakeup_us"]["p999_median"]
        if with_others > DISTURBED_RATIO * max(ours, 1.0):
            lines.append(f"{name}: disturbed p99.9 {with_others} µs, alone {ours} µs")
        if any(found["allocations"].values()):
            lines.append(f"{name}: kept allocations {found['allocations']}")
    for name, bar in (("compute_us", COMPUTE_US), ("guard_us", GUARD_US)):
        found = kernels[name]
        if found["p999"] > bar:
            idle = found["machine"]["p999"]
            lines.append(
                f"{name} p99.9 {found['p999']:.1f} µs, {bar:g} µs are allowed; p50 {found['p50']:.1f} µs, and p99.9 "
                f"{idle:.1f} µs where as long nothing is computed"
            )
    return lines


def _kernels(core: int) -> dict[str, Any]:
    """Time law and guard from read to write at the loop's own rank, see `robostral.guard.bench`."""
    done = subprocess.run([sys.executable, "-c", _KERNELS, str(core)], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@contextmanager
def _disturbed(core: int) -> Iterator[None]:
    """Keep busy a Python thread where the transport and the recorder run, and the disk: all of them off `core`.

    That is where a run has them. Others are kept away by `isolcpus`, see PLANT_PC.md; a kernel that is not preemptible
    lets no loop in while a call of theirs goes on.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        for code, *args in (
            (_BUSY, str(realtime.POLICY_PRIORITY), str(core)),
            (_BUSY, "0", str(core)),
            (_WRITER, str(Path(folder) / "blocks"), str(core)),
        ):
            process = subprocess.Popen([sys.executable, "-c", code, *args], stdout=subprocess.PIPE)
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
        yield


def _steal_ms(core: int) -> int:
    """Return how long the hypervisor has kept a core from us [ms] since the machine started; 0 where nobody says."""
    path = Path("/proc/stat")
    for line in path.read_text().splitlines() if path.is_file() else []:
        words = line.split()
        if words[0] == f"cpu{core}":
            return int(words[8]) * 1000 // os.sysconf("SC_CLK_TCK")
    return 0
