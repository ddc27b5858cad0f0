"""External signals on their way in: subscribed from publishers under CURVE, dated at receipt, handed to the loop."""

import time
from collections.abc import Sequence

import msgspec
import numpy as np
import zmq

from robostral.errors import ConfigError
from robostral.runtime import records
from robostral.runtime.config import SignalSource
from robostral.runtime.external import NAMES, SIZES
from robostral.runtime.mailbox import Mailbox
from robostral.serving.keys import KeyStore
from robostral.serving.publish import Bulletin

MAX_BYTES = 1 << 12


class Board:
    """The newest value of every external signal; the one writer of the mailbox's inbound slot.

    Args:
        mailbox: Shared with the loop.
        places: Where each signal lies in the vector, see `robostral.runtime.external.layout`.
    """

    def __init__(self, mailbox: Mailbox, places: dict[str, slice]) -> None:
        self._mailbox, self.places = mailbox, places
        self._record = records.empty(mailbox.external.dtype)

    def put(self, name: str, values: Sequence[float], age_s: float = 0.0) -> None:
        """Hand a signal to the loop that was received now, and was `age_s` old [s] when it was sent."""
        record, i, place = self._record, NAMES.index(name), self.places[name]
        record["value"][place] = values
        record["t_receipt_ns"][i], record["age_ns"][i] = time.monotonic_ns(), round(1e9 * age_s)
        self._mailbox.external.publish(record)


class Inlet:
    """A subscription to one publisher.

    Only the newest message waits, and one that was sent before another of the same publisher is dropped.

    Args:
        source: Whom to listen to.
        board: Where what it says goes.

    Attributes:
        socket: What to poll.
        refused: Count of messages that were no bulletin, out of order, or held what is no number.

    Raises:
        ServingError: A key is missing.
        ConfigError: The address is malformed.
    """

    def __init__(self, source: SignalSource, board: Board) -> None:
        self._board, self.refused = board, 0
        self._session, self._seq, keys = 0, 0, KeyStore(source.keys).client()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket: zmq.Socket[bytes] = self._context.socket(zmq.SUB)
        self.socket.curve_serverkey, self.socket.curve_publickey, self.socket.curve_secretkey = keys
        self.socket.linger, self.socket.conflate, self.socket.maxmsgsize = 0, 1, MAX_BYTES
        self.socket.reconnect_ivl, self.socket.handshake_ivl = 10, 1000
        self.socket.subscribe(b"")
        try:
            self.socket.connect(source.endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise ConfigError(f"signals: cannot dial '{source.endpoint}' (tcp://host:port): {error}") from None

    def receive(self) -> None:
        """Hand on what has come."""
        while True:
            try:
                frame = self.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                bulletin = msgspec.json.decode(frame, type=Bulletin)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self.refused += 1
                continue
            self._take(bulletin)

    def _take(self, bulletin: Bulletin) -> None:
        if bulletin.session == self._session and bulletin.seq <= self._seq:
            self.refused += 1
            return
        self._session, self._seq = bulletin.session, bulletin.seq
        for name, signal in bulletin.signals.items():
            if name not in self._board.places:
                continue  # this policy needs it not
            usable = len(signal.values) == SIZES[name] and np.isfinite([signal.age_s, *signal.values]).all()
            if usable and signal.age_s >= 0.0 and (SIZES[name] != 7 or 0.99 < np.linalg.norm(signal.values[3:]) < 1.01):
                self._board.put(name, signal.values, signal.age_s)
            else:
                self.refused += 1

    def close(self) -> None:
        """Leave; calling it twice is harmless."""
        if not self._context.closed:
            self._context.destroy(linger=0)
