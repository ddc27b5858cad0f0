"""The recorder: drains the ring of ticks into an MCAP log that opens whatever happens to this process or the power."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from mcap.writer import CompressionType, Writer
from numpy.typing import NDArray

from robostral import __version__
from robostral.runtime.ladder import Cause, Mode
from robostral.runtime.mailbox import Mailbox

PERIOD_S = 0.02
CHUNK_S = 0.05
"""A chunk is closed and handed to the kernel this often: what a killed recorder loses at most."""
SYNC_S = 1.0
"""Pages are forced to the disk this often, and at once when the ladder moves: what a power cut loses at most."""
SILENCE_S = 0.2
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
        self._file = path.open("xb")
        self._names = [name for name in dtype.names or () if name != "pad"]
        self._offset_ns = time.time_ns() - time.monotonic_ns()
        self._last: tuple[int, ...] = ()
        self._writer = Writer(self._file, chunk_size=1 << 20, compression=CompressionType.ZSTD)
        self._writer.start("", f"robostral {__version__}")
        self._tick = self._channel("/tick", _tick_schema(dtype, self._names))
        self._event = self._channel("/event", {name: {"type": kind} for name, kind in _EVENT_FIELDS.items()})
        self._add(self._channel("/config", {}), time.monotonic_ns(), config)
        self.flush(sync=True)

    def ticks(self, rows: NDArray[np.void]) -> bool:
        """Append rows of the ring, and an event for each change of the ladder; return whether there was one."""
        changed = False
        for t_ns, row in zip(rows["t_ns"].tolist(), _as_dicts(rows, self._names), strict=True):
            self._add(self._tick, t_ns, row)
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
        if sync:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write the index and the footer; calling it twice is harmless."""
        if not self._file.closed:
            self._writer.finish()  # type: ignore[no-untyped-call]
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def _channel(self, topic: str, properties: Mapping[str, Any]) -> int:
        schema = {"title": topic.strip("/"), "type": "object", "properties": properties}
        schema_id = self._writer.register_schema(f"robostral{topic}", "jsonschema", msgspec.json.encode(schema))
        return int(self._writer.register_channel(topic, "json", schema_id))

    def _add(self, channel: int, t_ns: int, message: Mapping[str, Any]) -> None:
        log_time = self._offset_ns + t_ns
        self._writer.add_message(channel, log_time, msgspec.json.encode(message), log_time)


def record(mailbox: Mailbox, log: LogWriter, leaving: Callable[[], bool]) -> None:
    """Drain the mailbox into `log` until the loop has left; or, once asked to leave, until the loop is silent.

    Args:
        mailbox: Whose ring to drain; this process is its only reader.
        log: Where to; closed at the end.
        leaving: Whether the recorder was asked to end. The loop may still be braking then.
    """
    closed = synced = heard = time.monotonic()
    left, dropped = False, 0
    while True:
        done = left or (leaving() and time.monotonic() - heard > SILENCE_S)
        rows = mailbox.ticks.drain()
        changed = log.ticks(rows) | _note_link(mailbox, log)
        if mailbox.ticks.dropped > dropped:
            dropped = mailbox.ticks.dropped
            log.event(time.monotonic_ns(), -1, "log", f"{dropped} ticks found no room in the ring")
        status = mailbox.status.take()
        left = left or (status is not None and bool(status["left"]))
        now = time.monotonic()
        heard = now if len(rows) else heard
        if changed or now - closed >= CHUNK_S:
            due = changed or now - synced >= SYNC_S
            log.flush(sync=due)
            closed, synced = now, now if due else synced
        if done:
            return log.close()
        time.sleep(PERIOD_S)


def _note_link(mailbox: Mailbox, log: LogWriter) -> bool:
    link = mailbox.link.take()
    if link is None or not link["note"]:
        return False
    log.event(int(link["t_ns"]), -1, "link", bytes(link["note"].item()).decode(errors="replace"))
    return True


def _describe(row: Mapping[str, Any]) -> str:
    text = f"{Mode(row['mode']).name} because {Cause(row['cause']).name}"
    if row["cause"] == Cause.GUARD:
        text += f" (guard reason {row['guard']})"
    return text + (f" (plant status {row['plant']})" if row["plant"] else "")


def _tick_schema(dtype: np.dtype[np.void], names: list[str]) -> dict[str, Any]:
    return {name: _field_schema(dtype[name]) for name in names}


def _field_schema(dtype: np.dtype[Any]) -> dict[str, Any]:
    kind = {"type": "number" if dtype.base.kind == "f" else "integer"}
    return {"type": "array", "items": kind} if dtype.shape else kind


def _as_dicts(rows: NDArray[np.void], names: list[str]) -> list[dict[str, Any]]:
    columns = [rows[name].tolist() for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
