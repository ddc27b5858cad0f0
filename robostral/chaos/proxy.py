"""A proxy between a robot and its policy server that delays, drops, repeats, swaps or damages whole ZeroMQ frames."""

import heapq
import itertools
import selectors
import socket
import threading
import time
from types import TracebackType
from typing import Literal

import numpy as np

Fault = Literal["", "delay", "drop", "duplicate", "reorder", "corrupt", "blackout"]
FAULTS: tuple[Fault, ...] = ("delay", "drop", "duplicate", "reorder", "corrupt", "blackout")
GREETING = 64
"""Bytes before the first frame, ZMTP 3.1."""
COMMAND, LONG = 4, 2
DELAY_S = 0.1
_POLL_S = 0.002


class Stream:
    """One direction of one connection, cut into frames.

    Note:
        ZMTP 3.1 (ZeroMQ RFC 37): a greeting of 64 bytes, then frames of one flag byte, a size of 1 or 8 bytes, and the
        body. Under CURVE every message is such a frame; libzmq ends a connection whose nonces repeat or fall back.
    """

    def __init__(self, target: socket.socket) -> None:
        self.target = target
        self._buffer, self._greeting = b"", GREETING
        self.waiting: list[tuple[float, int, bytes]] = []
        self.swapped = b""

    def cut(self, data: bytes) -> list[tuple[bytes, bool]]:
        """Take bytes and return the whole frames, and whether a fault may touch each: commands of a handshake pass."""
        # Peers send their greeting in pieces, and wait for the other one's: it passes byte by byte.
        found = [(data[: self._greeting], False)] if self._greeting else []
        self._buffer += data[self._greeting :]
        self._greeting = max(self._greeting - len(data), 0)
        while end := self._end():
            frame, self._buffer = self._buffer[:end], self._buffer[end:]
            found.append((frame, not frame[0] & COMMAND))
        return found

    def _end(self) -> int:
        """Return where the first frame ends, 0 if it is not whole yet."""
        head = 9 if self._buffer[:1] and self._buffer[0] & LONG else 2
        if len(self._buffer) < head:
            return 0
        end = head + int.from_bytes(self._buffer[1:head], "big")
        return end if len(self._buffer) >= end else 0


class Proxy:
    """Stands between a client and `target`; a thread of its own carries the bytes.

    Args:
        target: `tcp://host:port` of the server; it may come and go.
        seed: Seed of what is hit.

    Attributes:
        endpoint: Where clients dial.
        fault: What happens to frames now; empty for nothing.
        share: Share of the frames that is hit, 0 to 1.
        hits: How many frames were hit.
    """

    def __init__(self, target: str, seed: int) -> None:
        host, _, port = target.removeprefix("tcp://").rpartition(":")
        self._target, self._rng = (host, int(port)), np.random.default_rng(seed)
        self.fault: Fault = ""
        self.share, self.hits = 1.0, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._selector, self._count = selectors.DefaultSelector(), itertools.count()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._streams: dict[socket.socket, Stream] = {}
        self._leaving = False
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Cut every connection and stop."""
        self._leaving = True
        self._thread.join()
        for end in [*self._streams, self._listener]:
            end.close()
        self._selector.close()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        while not self._leaving:
            for key, _ in self._selector.select(_POLL_S):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj in self._streams:
                    self._carry(key.fileobj)
            now = time.monotonic()
            for source, stream in list(self._streams.items()):
                while stream.waiting and stream.waiting[0][0] <= now:
                    self._send(source, stream, heapq.heappop(stream.waiting)[2])

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._target, 0.2)
        except OSError:
            client.close()
            return
        for source, target in ((client, server), (server, client)):
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._streams[source] = Stream(target)
            self._selector.register(source, selectors.EVENT_READ)

    def _carry(self, source: socket.socket) -> None:
        stream = self._streams[source]
        try:
            data = source.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            return self._drop(source)
        for frame, touchable in stream.cut(data):
            if touchable and self.fault and self._rng.random() < self.share:
                self.hits += 1
                self._hit(stream, frame)
            else:
                heapq.heappush(stream.waiting, (time.monotonic(), next(self._count), frame))
        return None

    def _hit(self, stream: Stream, frame: bytes) -> None:
        """Put what becomes of a frame into the stream's queue."""
        now = time.monotonic()
        out: list[tuple[float, bytes]] = []
        if self.fault == "delay":
            out = [(now + DELAY_S * self._rng.random(), frame)]
        elif self.fault == "duplicate":
            out = [(now, frame), (now, frame)]
        elif self.fault == "reorder":
            out = [(now, frame), (now, stream.swapped)] if stream.swapped else []
            stream.swapped = b"" if stream.swapped else frame
        elif self.fault == "corrupt":
            at = int(self._rng.integers(9, len(frame))) if len(frame) > 9 else len(frame) - 1
            out = [(now, frame[:at] + bytes([frame[at] ^ 1 << int(self._rng.integers(8))]) + frame[at + 1 :])]
        for when, data in out:  # a drop, or a blackout, puts nothing
            heapq.heappush(stream.waiting, (when, next(self._count), data))

    def _send(self, source: socket.socket, stream: Stream, frame: bytes) -> None:
        try:
            stream.target.sendall(frame)
        except OSError:
            self._drop(source)

    def _drop(self, source: socket.socket) -> None:
        """Close both ends of a connection."""
        stream = self._streams.pop(source, None)
        if stream is None:
            return
        self._streams.pop(stream.target, None)
        for end in (source, stream.target):
            self._selector.unregister(end)
            end.close()
