"""Start one of this project's commands as a child process that says `ready ...`, and never leave it behind."""

import ctypes
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from robostral.errors import RobostralError

PR_SET_PDEATHSIG = 1


class ChildFailed(RobostralError):
    """A child process ended, or did not become ready in time; carries its last line."""


class Child:
    """A running `robostral` command.

    Args:
        name: What messages call it, for example ``policy server``.
        args: The command line after ``robostral``, or after `module`.
        log: File that takes its standard error; the last line of it explains a failure.
        timeout_s: How long it may take to say ``ready`` [s].
        module: What ``python -m`` runs.
        pass_fds: Descriptors that the child inherits under the same numbers.
        cwd: Folder that it runs in; this process's own if left out.
        wait: Whether to return only when it is ready; else call `wait_ready`, so that several can start at once.

    Attributes:
        ready: What followed ``ready`` on that line, for example an address.

    Raises:
        ChildFailed: It ended before it was ready, or took too long.
    """

    def __init__(
        self,
        name: str,
        args: list[str],
        log: Path,
        timeout_s: float = 60.0,
        module: str = "robostral",
        pass_fds: tuple[int, ...] = (),
        wait: bool = True,
        cwd: Path | None = None,
    ) -> None:
        self.name, self._log, self.ready = name, log, ""
        self._timeout_s, self._deadline = timeout_s, time.monotonic() + timeout_s
        with log.open("ab") as stderr:
            # A session of its own: Ctrl-C in the terminal reaches the supervisor, which stops its children in order.
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *args],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
                pass_fds=pass_fds,
                cwd=cwd,
                preexec_fn=_die_with(os.getpid()),
            )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> str:
        """Wait until it says `ready`; return what followed.

        Raises:
            ChildFailed: It ended before, or took too long; it is stopped then.
        """
        try:
            self.ready = self._hear_ready()
        except BaseException:
            self.stop()
            raise
        return self.ready

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    @property
    def killed(self) -> bool:
        """Whether a signal ended it."""
        code = self._process.poll()
        return code is not None and code < 0

    def check(self) -> None:
        """Complain if it has ended.

        Raises:
            ChildFailed: It has.
        """
        if not self.alive:
            raise ChildFailed(f"the {self.name} ended with code {self._process.returncode}: {self._last_line()}")

    def kill(self) -> None:
        """End it with SIGKILL, in the middle of whatever it does."""
        self._process.kill()
        self._close()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Ask it to end with SIGTERM, and insist after `timeout_s` [s]; calling it twice is harmless."""
        if self.alive:
            self._process.terminate()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._close()

    def __enter__(self) -> "Child":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _close(self) -> None:
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def _hear_ready(self) -> str:
        assert self._process.stdout is not None
        text = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while selector.select(max(self._deadline - time.monotonic(), 0.0)):
                data = os.read(self._process.stdout.fileno(), 4096)
                if not data:
                    self._process.wait()
                    self.check()
                text += data
                for line in text.decode(errors="replace").splitlines(keepends=True):
                    if line.startswith("ready") and line.endswith("\n"):
                        return line.removeprefix("ready").strip()
        raise ChildFailed(f"the {self.name} was not ready after {self._timeout_s:g} s: {self._last_line()}")

    def _last_line(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1].removeprefix("robostral: ") if lines else f"it said nothing (see {self._log})"


def _die_with(parent: int) -> Callable[[], None] | None:
    """Return a hook that makes the kernel end the child when the parent dies, even by SIGKILL (Linux only)."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)

    def hook() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the parent died between fork and prctl
            os._exit(1)

    return hook
