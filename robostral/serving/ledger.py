"""An append-only log of changes: JSON lines, each with the SHA-256 of the one before, on the disk before it counts."""

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from robostral.errors import ServingError

_FIRST = "0" * 64


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line: who did what to which bundle, when by the wall clock, and how it ended."""

    time: str
    who: str
    what: str
    bundle: str
    outcome: str
    previous: str


class Ledger:
    """The log, held open for appending. What was written never changes; whoever changes it breaks the chain.

    Args:
        path: The file; made if there is none. A last line that a power cut tore is cut off: nobody was told of it.

    Raises:
        ServingError: The chain is broken, or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            raw = path.read_bytes()
            os.ftruncate(self._file, whole := raw.rfind(b"\n") + 1)
            os.lseek(self._file, 0, os.SEEK_END)
        except OSError as error:
            raise ServingError(f"the log of changes '{path}' cannot be written: {error.strerror}") from error
        self._last = _FIRST
        for line in raw[:whole].splitlines(keepends=True):
            self._last = hashlib.sha256(line).hexdigest()
        read(path)

    def append(self, who: str, what: str, bundle: str, outcome: str) -> None:
        """Write one line, and return once the disk has it."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = msgspec.json.encode(Entry(now, who, what, bundle, outcome, self._last)) + b"\n"
        os.write(self._file, line)
        os.fsync(self._file)
        self._last = hashlib.sha256(line).hexdigest()

    def close(self) -> None:
        """Let the file go."""
        os.close(self._file)


def read(path: Path) -> list[Entry]:
    """Read the log and check its chain.

    Raises:
        ServingError: A line was changed, removed or put in; says which one.

    Note:
        A cut at the end leaves a whole chain. Whoever must detect that keeps the hash of the last line elsewhere.
    """
    entries, last = [], _FIRST
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        try:
            entry = msgspec.json.decode(line, type=Entry)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ServingError(f"the log of changes '{path}' cannot be read in line {number}: {error}") from error
        if entry.previous != last:
            raise ServingError(
                f"the log of changes '{path}' was changed before line {number}; keep it, and move it away"
            )
        entries.append(entry)
        last = hashlib.sha256(line).hexdigest()
    return entries
