"""The supervisor: starts loop, transport and recorder, notices the one that ends, and leaves nothing behind."""

import os
import secrets
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal

import msgspec

from robostral.bundle import Bundle
from robostral.bundle import load as load_bundle
from robostral.process import Child
from robostral.runtime.child import Settings
from robostral.runtime.config import RunConfig
from robostral.runtime.ctl import SOCKET, Control
from robostral.runtime.mailbox import Mailbox, memory_bytes
from robostral.runtime.options import site_arm
from robostral.runtime.realtime import Bell, shared_memory
from robostral.runtime.sizes import sizes_of
from robostral.runtime.status import Status, StatusReader

READY_S = 60.0
Role = Literal["loop", "transport", "recorder"]
_REPLACEABLE: tuple[Role, ...] = ("recorder", "transport")


class Runtime:
    """A run, as a context manager: inside the block three processes work, behind it none is left.

    Args:
        config: The preset.

    Attributes:
        folder: The run folder, mode 0700: `config.json`, `log.mcap`, one log per process, and the operator's door.
        bundle: What runs, verified for a twin; the loop verifies it again for the plant it meets.
        notes: What the system did not give the loop, in words.

    Raises:
        ChildFailed: A part did not start; says why in one line.
        RobostralError: Arm or bundle are unknown or refused.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config, self.arm = config, site_arm(config)
        self.bundle: Bundle = load_bundle(config.bundle, trusted_keys=Path(config.trust) if config.trust else None)
        self._sizes = sizes_of(self.bundle.sealed.contract, self.arm, identified=config.identified is not None)
        self._stack = ExitStack()
        self._children: dict[Role, Child] = {}
        self.notes = ""

    def __enter__(self) -> "Runtime":
        with ExitStack() as stack:
            self.folder = _make_folder(self.config)
            self._write_config()
            memory_fd = shared_memory(memory_bytes(self._sizes))
            stack.callback(os.close, memory_fd)
            bell = Bell.make()
            stack.callback(bell.close)
            self._status = StatusReader(Mailbox(self._sizes, memory_fd))
            # The loop is entered last and so stopped first; it may still need the others while it brakes.
            stack.callback((self.folder / SOCKET).unlink, missing_ok=True)  # a killed transport leaves it
            self._shared = memory_fd, bell
            for role in ("recorder", "transport", "loop"):
                self._children[role] = self._start(role, memory_fd, bell)
                stack.callback(self._stop, role)
            for child in self._children.values():
                child.wait_ready()
            self.notes = self._children["loop"].ready
            self.control = stack.enter_context(Control(self.folder))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def pids(self) -> dict[Role, int]:
        """Process id per part."""
        return {role: child.pid for role, child in self._children.items()}

    def check(self) -> None:
        """Notice a part that has ended. A recorder or a transport that was killed is started again beside the loop.

        The recorder goes on in another file; behind another transport the loop stays locked until it is re-armed.

        Raises:
            ChildFailed: Says which and why.
        """
        for role, child in list(self._children.items()):
            if child.alive:
                continue
            if role not in _REPLACEABLE or not child.killed or not self._children["loop"].alive:
                child.check()
            child.stop()
            self._children[role] = self._start(role, *self._shared)
            self._children[role].wait_ready()

    def status(self) -> Status:
        """Return the newest state, straight from the shared memory."""
        return self._status.read()

    def _stop(self, role: Role) -> None:
        self._children[role].stop()

    def _start(self, role: Role, memory_fd: int, bell: Bell) -> Child:
        session = secrets.randbits(60)  # so that no frame of an earlier run can be of a session of this one
        fds = (bell.read_fd, bell.write_fd)
        settings = Settings(role, str(self.folder), self.config, self._sizes, memory_fd, fds, session)
        return Child(
            role,
            [msgspec.json.encode(settings).decode()],
            self.folder / f"{role}.log",
            READY_S,
            module="robostral.runtime.child",
            pass_fds=(memory_fd, *dict.fromkeys(fds)),
            wait=False,
        )

    def _write_config(self) -> None:
        known = {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "bundle": self.bundle.manifest.label,
            "digest": self.bundle.digest.hex(),
            "contract": self.bundle.sealed.identity,
            "config": self.config,
        }
        raw = msgspec.json.format(msgspec.json.encode(known), indent=2)
        (self.folder / "config.json").write_bytes(raw + b"\n")


def _make_folder(config: RunConfig) -> Path:
    """Make the run folder; its name sorts by time."""
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{config.name}"
    for suffix in ("", *(f"-{i}" for i in range(2, 1000))):
        folder = config.runs_folder / f"{stem}{suffix}"
        try:
            folder.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(config.runs_folder / stem)
