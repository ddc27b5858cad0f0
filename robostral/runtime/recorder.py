"""The recorder: drains the ring of ticks into an MCAP log that opens whatever happens to this process or the power."""

import contextlib
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from mcap.writer import CompressionType, Writer
from numpy.typing import NDArray

from robostral import __version__
from robostral.driver import PlantStatus
from robostral.guard.table import Reason
from robostral.runtime.index import chunk_indices
from robostral.runtime.ladder import Cause, Mode
from robostral.runtime.mailbox import Mailbox
from robostral.runtime.records import Answer, Op, empty

PERIOD_S = 0.02
CHUNK_S = 0.05
"""A chunk is closed and handed to the kernel this often; until then its ticks stay in the ring, so that the recorder
that takes over from a killed one finds them there."""
SYNC_S = 1.0
"""Pages are forced to the disk this often, and at once when the ladder moves: what a power cut loses at most."""
SILENCE_S = 0.5
_STREAMED = (Op.NONE, Op.JOG, Op.JOG_TCP)
_CHANGES = ("mode", "cause", "plant", "session")
_EVENT_FIELDS = {"t_ns": "integer", "tick": "integer", "kind": "string", "text": "string"}


class LogWriter:
    """One MCAP file with JSON-schema channels `/config`, `/tick` and `/event`.

    Args:
        path: The new file.
        dtype: Fields of a tick.
        config: What the run was started with; the first message.

    Note:
        MCAP specification 1, chunked, zstd, a CRC per chunk. `t_ns` in the messages is monotonic; the log time is the
        wall clock of the moment the log was opened plus monotonic progress, so a clock step cannot bend it.
    """

    def __init__(self, path: Path, dtype: np.dtype[np.void], config: Mapping[str, Any]) -> None:
        self._path, self._file = path, path.open("xb")
        self._names = [name for name in dtype.names or () if name != "pad"]
        self._offset_ns = time.time_ns() - time.monotonic_ns()
        self._last: tuple[int, ...] = ()
        self._synchronous = 0
        self._writer = Writer(self._file, chunk_size=1 << 20, compression=CompressionType.ZSTD)
        # The library keeps an entry for each chunk until the end: for days of them there is no room.
        self._remembered: list[Any] = vars(self._writer)["_Writer__chunk_indices"]
        self._writer.start("", f"robostral {__version__}")
        self._tick = self._channel("/tick", _tick_schema(dtype, self._names))
        self._event = self._channel("/event", {name: {"type": kind} for name, kind in _EVENT_FIELDS.items()})
        self._add(self._channel("/config", {}), time.monotonic_ns(), config)
        self.flush(sync=True)

    def ticks(self, rows: NDArray[np.void]) -> bool:
        """Append rows of the ring, and an event for each order and each change of the ladder; return if it changed."""
        changed = False
        for t_ns, row in zip(rows["t_ns"].tolist(), _as_dicts(rows, self._names), strict=True):
            self._add(self._tick, t_ns, row)
            if row["op"] not in _STREAMED:
                self.event(t_ns, row["tick"], "operator", f"{Op(row['op']).name}: {Answer(row['answer']).name}")
            if row["synchronous"] != self._synchronous:
                self._synchronous = row["synchronous"]
                self.event(t_ns, row["tick"], "latency", _say_latency(row))
            state = tuple(row[name] for name in _CHANGES)
            if state != self._last:
                self._last, changed = state, True
                self.event(t_ns, row["tick"], "ladder", _describe(row))
        return changed

    def event(self, t_ns: int, tick: int, kind: str, text: str) -> None:
        """Append one event."""
        self._add(self._event, t_ns, {"t_ns": t_ns, "tick": tick, "kind": kind, "text": text})

    def flush(self, *, sync: bool) -> None:
        """Close the chunk and hand it to the kernel; `sync` waits until it is on the disk."""
        self._writer.flush()  # type: ignore[no-untyped-call]
        self._remembered.clear()
        if sync:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write the index and the footer; calling it twice is harmless."""
        if not self._file.closed:
            self.flush(sync=False)
            self._file.flush()
            self._remembered.extend(chunk_indices(self._path))
            self._writer.finish()  # type: ignore[no-untyped-call]
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def abandon(self) -> None:
        """Let go of a file that cannot be written; what is in it is whole up to the last chunk."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _channel(self, topic: str, properties: Mapping[str, Any]) -> int:
        schema = {"title": topic.strip("/"), "type": "object", "properties": properties}
        schema_id = self._writer.register_schema(f"robostral{topic}", "jsonschema", msgspec.json.encode(schema))
        return int(self._writer.register_channel(topic, "json", schema_id))

    def _add(self, channel: int, t_ns: int, message: Mapping[str, Any]) -> None:
        log_time = self._offset_ns + t_ns
        self._writer.add_message(channel, log_time, msgspec.json.encode(message), log_time)


class Recorder:
    """Drains the ring of ticks, and what was asked and answered, into one file after the other.

    Usually there is one. When a write fails, say on a full disk, ticks are counted as lost until another file can be
    begun; the loop never notices.

    Args:
        mailbox: Whose ring to drain; this process is its only reader.
        folder: Run folder.
        config: What the run was started with.
    """

    def __init__(self, mailbox: Mailbox, folder: Path, config: Mapping[str, Any]) -> None:
        self._mailbox, self._folder, self._config = mailbox, folder, config
        self._log: LogWriter | None = None
        self._closed = self._synced = self._heard = time.monotonic()
        self._pending = self._dropped = self._retry_at = 0.0
        self._lost = empty(mailbox.log.dtype)
        self._open()

    def run(self, leaving: Callable[[], bool]) -> None:
        """Record until the loop has left; or, asked to leave, until the loop is silent: it may still be braking."""
        left, self._heard = False, time.monotonic()
        while True:
            done = left or (leaving() and time.monotonic() - self._heard > SILENCE_S)
            self.round()
            status = self._mailbox.status.take()
            left = left or (status is not None and bool(status["left"]))
            if done:
                return self._guarded(self._close)
            time.sleep(PERIOD_S)

    def round(self) -> None:
        """Move what has come to the file, and close a chunk when it is time to."""
        rows = self._mailbox.ticks.read()
        now = time.monotonic()
        self._heard = now if len(rows) else self._heard
        if self._log is None and now >= self._retry_at:
            self._guarded(self._open)
        if self._log is None:
            self._lose(len(rows))
            self._mailbox.ticks.release()
        else:
            self._pending += len(rows)
            self._guarded(lambda: self._put(rows, now))

    def _put(self, rows: NDArray[np.void], now: float) -> None:
        log = self._log
        assert log is not None
        changed = log.ticks(rows) | self._note_link(log)
        if self._mailbox.ticks.dropped > self._dropped:
            self._dropped = self._mailbox.ticks.dropped
            log.event(time.monotonic_ns(), -1, "log", f"{self._dropped} ticks found no room in the ring")
        if changed or now - self._closed >= CHUNK_S:
            due = changed or now - self._synced >= SYNC_S
            log.flush(sync=due)
            self._mailbox.ticks.release()
            self._closed, self._synced, self._pending = now, now if due else self._synced, 0

    def _note_link(self, log: LogWriter) -> bool:
        """Note what the link to the server became; return whether there was anything."""
        link = self._mailbox.link.take()
        if link is None or not link["note"]:
            return False
        log.event(int(link["t_ns"]), -1, "link", bytes(link["note"].item()).decode(errors="replace"))
        return True

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except OSError as error:
            self._retry_at = time.monotonic() + SYNC_S
            if self._log is not None:
                self._log.abandon()
                self._log = None
                with contextlib.suppress(OSError):  # the same disk may hold what we say
                    print(f"robostral: the log cannot be written: {error}", file=sys.stderr, flush=True)
            self._lose(int(self._pending))
            self._mailbox.ticks.release()
            self._pending = 0

    def _lose(self, count: int) -> None:
        if count:
            self._lost["lost"] += count
            self._mailbox.log.publish(self._lost)

    def _open(self) -> None:
        path = next(path for path in map(self._folder.joinpath, part_names()) if not path.exists())
        try:
            self._log = LogWriter(path, self._mailbox.ticks.dtype, self._config)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        if self._lost["lost"]:
            self._log.event(
                time.monotonic_ns(), -1, "log", f"{self._lost['lost']} ticks lost: they could not be written"
            )

    def _close(self) -> None:
        if self._log is not None:
            self._log.close()


def part_names() -> Iterator[str]:
    """Name the files of a run's log, in order: `log.mcap`, `log-2.mcap`, ..."""
    return (f"log{f'-{number}' if number > 1 else ''}.mcap" for number in itertools.count(1))


def _describe(row: Mapping[str, Any]) -> str:
    text = f"{Mode(row['mode']).name} because {Cause(row['cause']).name}"
    if row["cause"] == Cause.GUARD:
        text += f" ({_named(Reason, row['guard'])})"
    if row["cause"] == Cause.CONTACT:
        text += f" (joint {row['contact'] + 1})"
    return text + (f" (plant: {_named(PlantStatus, row['plant'])})" if row["plant"] else "")


def _named(kind: type[IntEnum], code: int) -> str:
    """Name a code; somebody else's driver may answer with one that has no name."""
    return kind(code).name if code in kind._value2member_map_ else str(code)


def _say_latency(row: Mapping[str, Any]) -> str:
    kind = "synchronous chunks" if row["synchronous"] else "streamed chunks again"
    smooth, trained = 1e-6 * row["smooth_latency_ns"], 1e-6 * row["max_latency_ns"]
    return f"{kind}: the policy takes {smooth:.1f} ms (smoothed), trained for {trained:.1f} ms"


def _tick_schema(dtype: np.dtype[np.void], names: list[str]) -> dict[str, Any]:
    return {name: _field_schema(dtype[name]) for name in names}


def _field_schema(dtype: np.dtype[Any]) -> dict[str, Any]:
    kind = {"type": "number" if dtype.base.kind == "f" else "integer"}
    return {"type": "array", "items": kind} if dtype.shape else kind


def _as_dicts(rows: NDArray[np.void], names: list[str]) -> list[dict[str, Any]]:
    columns = [rows[name].tolist() for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
