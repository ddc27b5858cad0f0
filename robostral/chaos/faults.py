"""What can be done to a cell, one function a kind: break, wait for what follows, mend; returns when it was broken."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from robostral.chaos.clock import SteppedClock
from robostral.chaos.proxy import FAULTS, Fault
from robostral.demo.plant import Plant

SHORT_S, LONG_S = 0.005, 1.0
"""Pauses are between these [s]; one below the first may not stop the arm."""
_HOG = "import time\nwhile True: pass"
_GLUTTON = (
    "import sys, time\nblocks = [bytearray(1 << 20) for _ in range(int(sys.argv[1]))]\n"
    "while True:\n for block in blocks: block[::4096] = bytes(256)\n"
)


@dataclass(frozen=True)
class Shot:
    """One fault: its kind, from when to when it lasted [ns], and since when everything is there again [ns].

    `harmless` says that the arm should not have stopped for it.
    """

    kind: str
    t_ns: int
    healed_ns: int
    harmless: bool = False


@dataclass(frozen=True)
class Bench:
    """What a fault may lay hands on."""

    plant: Plant
    rng: np.random.Generator
    clock: SteppedClock


def server_kill(bench: Bench) -> Shot:
    """SIGKILL the policy server, and start it again once the arm stands."""
    t_ns = time.monotonic_ns()
    bench.plant.kill_server()
    _wait_stopped(bench)
    bench.plant.restart_server()
    return Shot("server-kill", t_ns, time.monotonic_ns())


def server_stop(bench: Bench) -> Shot:
    """SIGSTOP the policy server for a while, then SIGCONT."""
    return _pause("server-stop", bench, bench.plant.server_pid)


def transport_kill(bench: Bench) -> Shot:
    """SIGKILL the transport; the supervisor replaces it."""
    pid, t_ns = bench.plant.runtime.pids["transport"], time.monotonic_ns()
    os.kill(pid, signal.SIGKILL)
    _wait_stopped(bench)
    while bench.plant.runtime.pids["transport"] == pid:
        bench.plant.runtime.check()
    return Shot("transport-kill", t_ns, time.monotonic_ns())


def transport_stop(bench: Bench) -> Shot:
    """SIGSTOP the transport for a while, then SIGCONT."""
    return _pause("transport-stop", bench, bench.plant.runtime.pids["transport"])


def recorder_kill(bench: Bench) -> Shot:
    """SIGKILL the recorder; the supervisor replaces it, and the arm moves on."""
    pid, t_ns = bench.plant.runtime.pids["recorder"], time.monotonic_ns()
    os.kill(pid, signal.SIGKILL)
    while bench.plant.runtime.pids["recorder"] == pid:
        bench.plant.runtime.check()
    return Shot("recorder-kill", t_ns, time.monotonic_ns(), harmless=True)


def clock_step(bench: Bench) -> Shot:
    """Let the wall clock of every part jump by an hour, forth or back."""
    t_ns = time.monotonic_ns()
    bench.clock.step(int(bench.rng.choice([-3600, 0, 3600])))
    _watch(bench, 0.3)
    return Shot("clock-step", t_ns, time.monotonic_ns(), harmless=True)


def disk_full(bench: Bench) -> Shot:
    """Let the recorder's files grow no further for a while, as on a full disk."""
    pid, t_ns = bench.plant.runtime.pids["recorder"], time.monotonic_ns()
    none = resource.RLIM_INFINITY
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, none))
    _watch(bench, 0.5)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (none, none))
    _watch(bench, 1.2)  # the recorder tries again once a second
    return Shot("disk-full", t_ns, time.monotonic_ns(), harmless=True)


def memory_pressure(bench: Bench) -> Shot:
    """Let another process fill and walk half of the memory that is free, 1 GiB at most."""
    free_mib = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 21
    return _beside("memory", bench, _GLUTTON, str(min(free_mib, 1024)))


def cpu_load(bench: Bench) -> Shot:
    """Let a busy process compete for every core."""
    with _beside_all(_HOG, (), (os.cpu_count() or 1) - 1):
        return _beside("cpu", bench, _HOG)


def _link(fault: Fault) -> Callable[[Bench], Shot]:
    def act(bench: Bench) -> Shot:
        proxy, t_ns = bench.plant.proxy, time.monotonic_ns()
        assert proxy is not None
        proxy.share = float(bench.rng.choice([0.05, 0.3, 1.0]))
        proxy.fault = fault
        _watch(bench, float(bench.rng.uniform(0.1, 1.0)))
        proxy.fault = ""
        return Shot(f"link-{fault}", t_ns, time.monotonic_ns())

    act.__doc__ = f"Let the link to the policy server {fault} frames."
    return act


KINDS: dict[str, Callable[[Bench], Shot]] = {
    "server-kill": server_kill,
    "server-stop": server_stop,
    "transport-kill": transport_kill,
    "transport-stop": transport_stop,
    "recorder-kill": recorder_kill,
    **{f"link-{fault}": _link(fault) for fault in FAULTS},
    "clock-step": clock_step,
    "disk-full": disk_full,
    "memory": memory_pressure,
    "cpu": cpu_load,
}
"""Every kind of fault that leaves the loop alive; `loop-kill` is a campaign of its own."""


def _pause(kind: str, bench: Bench, pid: int) -> Shot:
    length = float(np.exp(bench.rng.uniform(np.log(2e-3), np.log(LONG_S))))
    t_ns = time.monotonic_ns()
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(length)
    finally:
        os.kill(pid, signal.SIGCONT)
    return Shot(kind, t_ns, time.monotonic_ns(), harmless=length < SHORT_S)


def _beside(kind: str, bench: Bench, code: str, *args: str) -> Shot:
    t_ns = time.monotonic_ns()
    with _beside_all(code, args, 1):
        _watch(bench, 0.7)
    return Shot(kind, t_ns, time.monotonic_ns())


@contextmanager
def _beside_all(code: str, args: tuple[str, ...], count: int) -> Iterator[None]:
    """Run processes at ordinary priority, off whatever rank this one has."""
    command = [sys.executable, "-c", code, *args]
    running = [subprocess.Popen(command, preexec_fn=_end_with_parent) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _wait_stopped(bench: Bench) -> None:
    plant = bench.plant
    until = time.monotonic() + 20.0
    while plant.runtime.status().mode not in {"HOLD", "FAULT"} and time.monotonic() < until:
        time.sleep(0.002)


def _watch(bench: Bench, seconds: float) -> None:
    """Let the cell live on for a while, with its supervisor awake."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        bench.plant.check()
        time.sleep(0.01)
