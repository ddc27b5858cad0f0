"""Publish external signals to running cells: the pose of a goal or of a part, the speed of a belt.

A camera system or a PLC gateway does it with its own key folder, made by `robostral keys new`:

    with SignalPublisher("tcp://127.0.0.1:7410", KeyStore("camera-keys")) as publisher:
        publisher.publish(part=(0.4, 0.1, 0.05, 1, 0, 0, 0), belt=(0.12,), age_s=0.03)

A cell names the address, and a folder with `server.pub` and its own pair, under `signals` in its run preset.
"""

import secrets
from collections.abc import Sequence
from types import TracebackType

import msgspec
import zmq

from robostral.errors import ServingError
from robostral.serving.keys import KeyStore, Roster
from robostral.serving.zap import DOMAIN, Authenticator


class Signal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One signal: its numbers, and how old they were when they were sent [s]."""

    values: tuple[float, ...]
    age_s: float = 0.0


class Bulletin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What crosses the wire, as JSON: all that is new, numbered within a session of the publisher."""

    session: int
    seq: int
    signals: dict[str, Signal]


class SignalPublisher:
    """Publishes to every cell that holds a key on its list.

    It has no thread: new cells are let in while `publish` is called, so call it some times a second.

    Args:
        bind: `tcp://address:port`; port 0 takes a free one.
        keys: Our key folder; whoever it allows may listen.

    Attributes:
        endpoint: Where it can be reached.

    Raises:
        ServingError: A key is missing, or the address cannot be bound.
    """

    def __init__(self, bind: str, keys: KeyStore) -> None:
        pair, self._roster = keys.server(), Roster(keys)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._door = Authenticator(self._context, self._roster)
        self._socket = self._context.socket(zmq.PUB)
        self._socket.curve_server, self._socket.curve_secretkey = True, pair.secret
        self._socket.zap_domain = DOMAIN.encode()
        self._socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        self._socket.linger, self._socket.sndhwm = 0, 2
        try:
            self._socket.bind(bind)
        except zmq.ZMQError as error:
            self.close()
            raise ServingError(f"cannot bind '{bind}' (tcp://address:port): {error}") from None
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")
        self._session, self._seq = secrets.randbits(60), 0

    def publish(self, *, age_s: float = 0.0, **signals: Sequence[float]) -> None:
        """Publish `goal`, `part` (p [m] and quat_wxyz in `base`) or `belt` ([m/s]) as they were `age_s` ago [s]."""
        self._roster.refresh()
        while self._door.socket.poll(0):
            self._door.answer()
        self._seq += 1
        found = {name: Signal(tuple(map(float, values)), age_s) for name, values in signals.items()}
        self._socket.send(msgspec.json.encode(Bulletin(self._session, self._seq, found)), zmq.NOBLOCK)

    def close(self) -> None:
        """Stop publishing; calling it twice is harmless."""
        if not self._context.closed:
            self._context.destroy(linger=0)

    def __enter__(self) -> "SignalPublisher":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
