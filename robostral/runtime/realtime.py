"""What the system gives a loop: clock, scheduling, locked memory, a bell. The one file that knows platforms."""

import ctypes
import gc
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

SPIN_NS = 200_000
"""The last stretch before a deadline is spent spinning; measured, it takes wake-ups from 30 µs to about 1 µs at p50."""
PRIORITY = 80
"""SCHED_FIFO priority of the loop."""
POLICY_PRIORITY = 60
"""Of transport and policy server: an arm waits for their answer, so a twin on the same machine gives way to them."""
_AWAKE: list[int] = []
"""The open request that processors stay awake."""
_PR_SET_TIMERSLACK = 29
_MCL_CURRENT_AND_FUTURE = 3


class Clock(Protocol):
    """Time as the loop sees it; nothing else in the loop asks the time."""

    def now_ns(self) -> int:
        """Return monotonic time [ns]."""
        ...

    def wait_until(self, deadline_ns: int) -> int:
        """Return the time [ns] at which the caller goes on, not before `deadline_ns`."""
        ...


class RealClock:
    """CLOCK_MONOTONIC; sleeps to just before the deadline, then spins."""

    def now_ns(self) -> int:
        """Return monotonic time [ns]."""
        return time.monotonic_ns()

    def wait_until(self, deadline_ns: int) -> int:
        """Sleep, then spin, until `deadline_ns`; return the time it became [ns]."""
        rest = deadline_ns - time.monotonic_ns() - SPIN_NS
        if rest > 0:
            time.sleep(rest * 1e-9)
        while True:
            now = time.monotonic_ns()
            if now >= deadline_ns:
                return now


class FakeClock:
    """Time that passes only when told, for lock-step runs: two of them are bit-identical.

    Attributes:
        t_ns: The time it is [ns].
    """

    def __init__(self, t_ns: int = 1_000_000_000) -> None:
        self.t_ns = t_ns

    def now_ns(self) -> int:
        """Return the time it is [ns]."""
        return self.t_ns

    def wait_until(self, deadline_ns: int) -> int:
        """Jump to `deadline_ns`, never back."""
        self.t_ns = max(self.t_ns, deadline_ns)
        return self.t_ns

    def advance(self, seconds: float) -> None:
        """Let time pass [s]."""
        self.t_ns += round(seconds * 1e9)


def enter(core: int | None = None) -> list[str]:
    """Make this thread as real-time as the system lets it; return one line for each thing it did not get.

    Args:
        core: Processor to stay on; None takes the last one that this process may use.
    """
    missing = [line for line in (_pin(core), _lock_memory(), _schedule(PRIORITY), _keep_awake()) if line]
    _set_timer_slack()
    gc.collect()
    gc.freeze()
    gc.disable()
    return missing


def precede(priority: int = PRIORITY // 2) -> None:
    """Let this thread, and those it starts, run before ordinary ones, but after any loop; without the right, do not."""
    _schedule(priority)


def keep_off(core: int | None) -> None:
    """Leave the loop's processor (None: the last one) to the loop, where there is another one."""
    if hasattr(os, "sched_setaffinity"):
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, allowed - {max(allowed) if core is None else core} or allowed)


def give_way() -> None:
    """Let threads of the same rank run, and go on at once if none wants to."""
    if hasattr(os, "sched_yield"):
        os.sched_yield()


@contextmanager
def aside(priority: int = PRIORITY // 2) -> Iterator[None]:
    """Step off the loop's core and below its priority for a while: threads started meanwhile inherit neither.

    A vendor's client that is connected from the loop starts threads. On the loop's core, at its priority, they would
    never run while a call of the loop waits for what they receive. A call that waits itself takes a lower `priority`.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores, policy, parameters = os.sched_getaffinity(0), os.sched_getscheduler(0), os.sched_getparam(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    if policy == os.SCHED_FIFO:
        precede(priority)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)
        os.sched_setaffinity(0, cores)


def _pin(core: int | None) -> str:
    try:
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(allowed) if core is None else core})
    except (AttributeError, OSError, ValueError) as error:
        return f"no core of its own ({error})"
    return "" if len(allowed) > 1 else "no core of its own (there is only one)"


def _lock_memory() -> str:
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mlockall(_MCL_CURRENT_AND_FUTURE) == 0:
            return ""
        return f"memory is not locked ({os.strerror(ctypes.get_errno())}; raise 'ulimit -l')"
    except (AttributeError, OSError, TypeError) as error:
        return f"memory is not locked ({error})"


def _schedule(priority: int) -> str:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except (AttributeError, OSError) as error:
        return f"no SCHED_FIFO ({error}; raise 'ulimit -r')"
    return ""


def _keep_awake() -> str:
    """Ask that no processor sleeps so deeply that waking takes time, for as long as this process lives.

    Note:
        Linux, "PM Quality of Service Interface": the request is the 32-bit number of microseconds that waking may take,
        written to `/dev/cpu_dma_latency`; it holds while the descriptor is open. cyclictest asks the same.
    """
    if _AWAKE:
        return ""
    try:
        fd = os.open("/dev/cpu_dma_latency", os.O_WRONLY | os.O_CLOEXEC)
        os.write(fd, (0).to_bytes(4, sys.byteorder))
        _AWAKE.append(fd)
    except OSError as error:
        return f"processors may sleep deeply ({error}; give the user write access to it)"
    return ""


def _set_timer_slack() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


def shared_memory(size: int) -> int:
    """Return the descriptor of `size` [bytes] of memory that children inherit; it has no name and leaves nothing."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("robostral-mailbox", 0)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return fd


class Bell:
    """Wakes another process through a descriptor that a poller can wait for: eventfd, or a pipe where there is none.

    Args:
        read_fd: What the sleeper polls.
        write_fd: What the ringer writes; the same as `read_fd` for an eventfd.
    """

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self.read_fd, self.write_fd = read_fd, write_fd
        os.set_blocking(read_fd, False)
        os.set_blocking(write_fd, False)

    @classmethod
    def make(cls) -> "Bell":
        """Make a new bell."""
        if hasattr(os, "eventfd"):
            fd = os.eventfd(0)
            return cls(fd, fd)
        return cls(*os.pipe())

    def ring(self) -> None:
        """Wake the sleeper; never blocks."""
        try:
            os.write(self.write_fd, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        except BlockingIOError:
            return  # it has been rung so often that it cannot miss it

    def clear(self) -> bool:
        """Forget all rings so far; return whether there were any."""
        try:
            return bool(os.read(self.read_fd, 4096))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Close its descriptors."""
        for fd in {self.read_fd, self.write_fd}:
            os.close(fd)
