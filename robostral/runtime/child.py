"""The three processes of a run, each started by the supervisor as ``python -m robostral.runtime.child SETTINGS``."""

import gc
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from robostral.errors import RobostralError
from robostral.runtime.config import RunConfig
from robostral.runtime.mailbox import Mailbox, warm_up
from robostral.runtime.realtime import Bell
from robostral.runtime.records import Sizes


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the supervisor tells a child: its part, the run folder, and the descriptors it inherits."""

    role: Literal["loop", "transport", "recorder"]
    folder: str
    config: RunConfig
    sizes: Sizes
    memory_fd: int
    bell_fds: tuple[int, int]
    session: int = 1


class Leaving:
    """Whether SIGTERM came; a plain flag, because a lock taken in a signal handler can wait for its own thread."""

    def __init__(self) -> None:
        self._asked = False
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def __call__(self) -> bool:
        """Return whether the supervisor asked this process to leave."""
        return self._asked

    def _ask(self, *_: object) -> None:
        self._asked = True


def main(argv: list[str]) -> int:
    """Play one part until SIGTERM; a failure is one line on standard error and exit code 2."""
    leaving = Leaving()
    settings = msgspec.json.decode(argv[0], type=Settings)
    bell = Bell(*settings.bell_fds)
    mailbox = Mailbox(settings.sizes, settings.memory_fd, bell.ring)
    warm_up()
    try:
        _PARTS[settings.role](settings, mailbox, bell, leaving)
    except RobostralError as error:
        print(f"robostral: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def say_ready(text: str = "") -> None:
    """Tell the supervisor that this part works, and what it could not get."""
    # What start-up has made lives as long as the process: the collector need never walk it again.
    gc.collect()
    gc.freeze()
    print(f"ready {text}".rstrip(), flush=True)


def _loop(settings: Settings, mailbox: Mailbox, bell: Bell, leaving: Leaving) -> None:
    from robostral.runtime.assemble import run_loop

    run_loop(settings.config, mailbox, settings.session, leaving, say_ready)


def _transport(settings: Settings, mailbox: Mailbox, bell: Bell, leaving: Leaving) -> None:
    from robostral.runtime.transport import run_transport

    run_transport(settings.config, Path(settings.folder), mailbox, bell, leaving, say_ready)


def _recorder(settings: Settings, mailbox: Mailbox, bell: Bell, leaving: Leaving) -> None:
    from robostral.runtime.recorder import Recorder

    recorder = Recorder(mailbox, Path(settings.folder), msgspec.to_builtins(settings.config))
    say_ready()
    recorder.run(leaving)


_PARTS: dict[str, Callable[[Settings, Mailbox, Bell, Leaving], None]] = {
    "loop": _loop,
    "transport": _transport,
    "recorder": _recorder,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
