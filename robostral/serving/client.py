"""A robot's connection to a policy server: pollable, never blocking, in need of numpy and pyzmq only."""

import json
import time
from collections import Counter
from typing import NamedTuple

import numpy as np
import zmq
from numpy.typing import NDArray

from robostral.errors import ContractMismatch, ServingError
from robostral.serving import wire
from robostral.serving.dial import Socket, ask, open_socket
from robostral.serving.wire import ClientKeys, Drop, Reply

_NOBLOCK = int(zmq.NOBLOCK)


class Accepted(NamedTuple):
    """The server's yes: this connection's token, which bundle answers (SHA-256 of its manifest), what it signs."""

    token: int
    bundle: str
    digest: str
    max_batch: int
    manifest: str = ""
    signature: str = ""


class Refused(NamedTuple):
    """The server's no, with a line for each field that differs."""

    reason: str
    fields: tuple[str, ...] = ()


class PolicyClient:
    """One robot's connection to a policy server. Nothing blocks but `connect`.

    Poll `socket`, then call `receive` until it returns None. Once `lost` is true the server has no session for us:
    call `redial` and poll the new `socket`.

    Args:
        endpoint: `tcp://host:port` or `ipc://path`.
        keys: The server's public key and our pair in Z85.
        contract: Our contract's stored text; a server with another one refuses.
        robot: Our name, as the allow-list knows it.
        bundle: Name of the wanted bundle; empty takes the server's first one with this contract.
        max_rows: Most rows of one request.

    Attributes:
        server: What the server said last about itself; it says so again when another version takes over.
        transit_us: Round trip less the server's own time, smoothed [µs].
        drops: Requests that could not leave and replies that were not accepted, by reason.
    """

    def __init__(
        self, endpoint: str, keys: ClientKeys, contract: bytes, robot: str, *, bundle: str = "", max_rows: int = 1
    ) -> None:
        self.endpoint, self._keys, self._max_rows = endpoint, keys, max_rows
        hello = {"type": "hello", "robot": robot, "role": "act", "contract": contract.decode(), "bundle": bundle}
        self._hello = json.dumps(hello | {"wire": wire.VERSION}).encode()
        self._layout = wire.Layout.of(contract)
        self._frame = wire.RequestFrame(self._layout, max_rows)
        self._context: zmq.Context[Socket] = zmq.Context()
        self.socket: Socket = self._context.socket(zmq.DEALER)
        self.server: Accepted | None = None
        self.lost, self.transit_us, self.drops = True, 0.0, Counter[str]()
        self._token = self._sent_ns = 0
        self._session = self._seq = self._answered = -1

    def connect(self, timeout_s: float = 1.0) -> Accepted:
        """Dial with a fresh socket and shake hands.

        Raises:
            KeyRefused: The server does not allow our key.
            ContractMismatch: The server serves another contract; the error lists the fields.
            ServingError: Nobody answers in time, or the server refuses for another reason.
        """
        self.lost, size = True, self._layout.reply_size(self._max_rows)
        self.socket.close(linger=0)
        self.socket = open_socket(self._context, self._keys, size)
        answer = _read_answer(ask(self.socket, self.endpoint, self._hello, timeout_s))
        if not isinstance(answer, Accepted):
            raise _explain(self.endpoint, answer or Refused("handshake", ("it speaks another wire",)))
        self.server, self._token, self.lost = answer, answer.token, False
        self._session = self._seq = self._answered = -1
        return answer

    redial = connect

    def send(
        self,
        obs: NDArray[np.float32],
        session: int,
        seq: int,
        t_obs_ns: int,
        consumed: int = wire.NONE_CONSUMED,
        budget_us: int = 1_000_000,
    ) -> bool:
        """Ask for a chunk; return False where the request cannot leave now (it is dropped, not kept for later).

        Args:
            obs: Observations in contract order, shape (rows, obs_size) or (obs_size,).
            session: Chosen by the caller, rises within a connection; replies to older ones are dropped.
            seq: Rises within the session.
            t_obs_ns: When the observation was taken; comes back as it is.
            consumed: Index of the last chunk step that was used.
            budget_us: Time left until the chunk is useless [µs]; our measured transit is subtracted here.
        """
        rows = len(obs) if obs.ndim > 1 else 1
        self._frame.obs[:rows] = obs
        left_us = max(0, budget_us - int(self.transit_us))
        frame = self._frame.seal(self._token, session, seq, t_obs_ns, left_us, consumed=consumed, rows=rows)
        if session != self._session:
            self._session, self._answered = session, -1
        self._seq, self._sent_ns = seq, time.monotonic_ns()
        try:
            self.socket.send(frame, _NOBLOCK)
        except zmq.Again:
            self.drops[Drop.UNSENT] += 1
            return False
        return True

    def receive(self) -> Reply | None:
        """Return the next reply of the current session, seq rising; None when nothing is left. Never blocks."""
        while True:
            try:
                frame = self.socket.recv(_NOBLOCK)
            except zmq.Again:
                return None
            reply = wire.read_reply(frame, self._layout, self._token, self._max_rows)
            if isinstance(reply, Drop):
                self._hear(frame, reply)
            elif reply.session != self._session or not self._answered < reply.seq <= self._seq:
                self.drops[Drop.ORDER] += 1
            else:
                self._answered = reply.seq
                if reply.seq == self._seq:
                    transit_us = (time.monotonic_ns() - self._sent_ns) / 1000 - reply.total_us
                    self.transit_us += 0.125 * (transit_us - self.transit_us)
                return reply

    def close(self) -> None:
        """Leave; calling it twice is harmless."""
        self.lost = True
        self._context.destroy(linger=0)

    def _hear(self, frame: bytes, drop: Drop) -> None:
        """Take in what is no reply: our session is over, or another version answers from now on."""
        said = _read_answer(frame)
        if isinstance(said, Accepted) and said.token == self._token:
            self.server = said
        elif isinstance(said, Refused):
            self.lost = True
            self.drops[Drop.SESSION] += 1
        else:
            self.drops[drop] += 1


def _read_answer(frame: bytes) -> Accepted | Refused | None:
    try:
        said = json.loads(frame)
        kind = said.pop("type")
        if kind == "refused":
            return Refused(str(said["reason"]), tuple(map(str, said["fields"])))
        answer = Accepted(**said)
        sane = kind == "accepted" and 0 <= answer.token < 1 << 32 and answer.max_batch > 0
        return answer if sane else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _explain(endpoint: str, answer: Refused) -> ServingError | ContractMismatch:
    if answer.reason == "contract":
        return ContractMismatch(f"the policy server at {endpoint}", "ours", answer.fields)
    return ServingError(f"policy server at {endpoint} refuses our {answer.reason}: {'; '.join(answer.fields)}")
