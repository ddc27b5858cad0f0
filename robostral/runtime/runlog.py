"""Read a run's log back as arrays, whole or cut off anywhere."""

import itertools
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zstandard
from mcap.exceptions import McapError
from mcap.records import Channel, Chunk, Message
from mcap.stream_reader import StreamReader, breakup_chunk
from numpy.typing import NDArray

from robostral.errors import ConfigError
from robostral.runtime.recorder import part_names


class LogEvent(msgspec.Struct, frozen=True):
    """A change of the ladder, of the link to the server, or of the log itself."""

    t_ns: int
    tick: int
    kind: str
    text: str


@dataclass(frozen=True)
class RunLog:
    """What a log holds.

    Attributes:
        ticks: One array per field of a tick (`robostral.runtime.records.tick_dtype`), shape (T,) or (T, n).
        events: In the order of writing.
        config: What the run was started with.
        whole: False when the log ends without its footer: the recorder or the machine died.
    """

    ticks: dict[str, NDArray[Any]]
    events: list[LogEvent]
    config: dict[str, Any]
    whole: bool

    def written(self) -> list[NDArray[np.float64]]:
        """Return the commands as written, in order [rad]: one array (k, n) per session.

        A session begins with a re-arm at rest, which reads the pose anew; every limit holds within it at nominal dt.
        """
        if not self.ticks:
            return []
        rows = self.ticks["written"] == 1
        q_c, session = self.ticks["q_c"][rows], self.ticks["session"][rows]
        cuts = np.flatnonzero(session[1:] != session[:-1]) + 1
        return [np.ascontiguousarray(part) for part in np.split(q_c, cuts) if len(part)]


def read(path: Path) -> RunLog:
    """Read a log; what lies behind the first damaged or cut chunk is left out, and `whole` says so.

    Args:
        path: A log, or a run folder with one or more of them.

    Raises:
        ConfigError: There is no such file.
    """
    found: dict[str, list[bytes]] = {"/tick": [], "/event": [], "/config": []}
    whole = True
    for part in parts(path):
        topics: dict[int, str] = {}
        records, complete = read_records(part)
        whole &= complete
        for record in records:
            if isinstance(record, Channel):
                topics[record.id] = record.topic
            elif isinstance(record, Message):
                found.setdefault(topics.get(record.channel_id, ""), []).append(record.data)
    return RunLog(
        _once(_columns([msgspec.json.decode(data) for data in found["/tick"]])),
        [msgspec.json.decode(data, type=LogEvent) for data in found["/event"]],
        msgspec.json.decode(found["/config"][0]) if found["/config"] else {},
        whole,
    )


def parts(path: Path) -> list[Path]:
    """Return the files of a run's log in order; a file is its own only part.

    Raises:
        ConfigError: There is none.
    """
    found = [path]
    if path.is_dir():
        found = list(itertools.takewhile(Path.exists, map(path.joinpath, part_names())))
    if not found or not found[0].is_file():
        raise ConfigError(f"no log at '{path}'")
    return found


def read_records(path: Path) -> tuple[list[object], bool]:
    """Return what whole chunks hold, each with its CRC checked, and whether the file has its proper end."""
    records: list[object] = []
    with path.open("rb") as file:
        reader = StreamReader(file, emit_chunks=True, record_size_limit=path.stat().st_size)
        try:
            for record in reader.records:
                records += breakup_chunk(record, validate_crc=True) if isinstance(record, Chunk) else [record]
        except (McapError, ValueError, OverflowError, MemoryError, struct.error, zstandard.ZstdError):
            return records, False
    return records, True


def _columns(rows: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    if not rows:
        return {}
    return {name: _column([row[name] for row in rows]) for name in rows[0]}


def _once(ticks: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Leave out what a killed recorder had written but not ticked off: its successor wrote it again."""
    if not ticks:
        return ticks
    again = ticks["tick"][1:] <= np.maximum.accumulate(ticks["tick"])[:-1]
    keep = np.concatenate([[True], ~again])
    return ticks if keep.all() else {name: column[keep] for name, column in ticks.items()}


def _column(values: list[Any]) -> NDArray[Any]:
    """Make an array; JSON has no NaN, so a null in a list of numbers is one."""
    array = np.array(values)
    return array.astype(np.float64) if array.dtype == object else array
