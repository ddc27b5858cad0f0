"""The client side of the wire: a pollable one for a real-time transport, a blocking one that is a Policy."""

import os
import time
from collections import Counter

import numpy as np
import zmq
from numpy.typing import NDArray
from zmq.utils.monitor import recv_monitor_message

from robostral.contract import Sealed
from robostral.errors import ContractMismatch, RobostralError, ServingError
from robostral.serving import wire
from robostral.serving.wire import ClientKeys, Reply

MAX_ROWS = 64
"""Most rows that a `RemotePolicy` puts into one request."""
_NOBLOCK = int(zmq.NOBLOCK)


class KeyRefused(ServingError):
    """The server does not allow our key."""


class PolicyClient:
    """One robot's connection to a policy server. Nothing blocks but `connect`.

    Poll `socket`, then call `receive` until it returns None. Once `lost` is true the server has no session for us:
    call `redial` and poll the new `socket`.

    Args:
        endpoint: `tcp://host:port` or `ipc://path`.
        keys: The server's public key and our pair, from `KeyStore.client`.
        sealed: Our contract; a server with another one refuses.
        robot: Our name, as the allow-list knows it.
        bundle: Name of the wanted bundle; empty takes the server's first one with this contract.
        max_rows: Most rows of one request.

    Attributes:
        server: The server's answer to the last handshake.
        transit_us: Round trip less the server's own time, smoothed [µs].
        drops: Requests that could not leave and replies that were not accepted, by reason.
    """

    def __init__(
        self, endpoint: str, keys: ClientKeys, sealed: Sealed, robot: str, *, bundle: str = "", max_rows: int = 1
    ) -> None:
        self.endpoint, self.sealed = endpoint, sealed
        self._keys, self._max_rows = keys, max_rows
        self._hello = wire.Hello(robot, "act", sealed.raw.decode(), bundle)
        self._layout = wire.Layout.of(sealed)
        self._frame = wire.RequestFrame(self._layout, max_rows)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        self.server: wire.Accepted | None = None
        self.lost, self.transit_us, self.drops = True, 0.0, Counter[str]()
        self._token = self._sent_ns = 0
        self._session = self._seq = self._answered = -1

    def connect(self, timeout_s: float = 1.0) -> wire.Accepted:
        """Dial with a fresh socket and shake hands.

        Raises:
            KeyRefused: The server does not allow our key.
            ContractMismatch: The server serves another contract; the error lists the fields.
            ServingError: Nobody answers in time, or the server refuses for another reason.
        """
        self.lost = True
        self.socket.close(linger=0)
        self.socket = self._new_socket()
        with self.socket.get_monitor_socket() as monitor:
            try:
                self.socket.connect(self.endpoint)
                answer = self._shake_hands(monitor, time.monotonic() + timeout_s)
            except zmq.ZMQError as error:
                raise ServingError(f"cannot dial '{self.endpoint}' (tcp://host:port, ipc://path): {error}") from None
            finally:
                self.socket.disable_monitor()
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
            self.drops[wire.Drop.UNSENT] += 1
            return False
        return True

    def receive(self) -> Reply | None:
        """Return the next reply of the current session, seq rising; None when nothing is left. Never blocks."""
        while True:
            try:
                reply = self._check(self.socket.recv(_NOBLOCK))
            except zmq.Again:
                return None
            if isinstance(reply, Reply):
                return reply
            self.drops[reply] += 1

    def close(self) -> None:
        """Leave; calling it twice is harmless."""
        self.lost = True
        self._context.destroy(linger=0)

    def _new_socket(self) -> "zmq.Socket[bytes]":
        socket = self._context.socket(zmq.DEALER)
        socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = self._keys
        # Nothing may wait in a queue for a peer that is away: it would be executed late.
        socket.immediate, socket.linger = 1, 0
        socket.sndhwm = socket.rcvhwm = wire.HIGH_WATER
        socket.reconnect_ivl, socket.handshake_ivl = 10, 1000
        socket.maxmsgsize = max(wire.MIN_MESSAGE, self._layout.reply_size(self._max_rows))
        socket.heartbeat_ivl, socket.heartbeat_timeout = wire.HEARTBEAT_MS, wire.SILENCE_MS
        return socket

    def _shake_hands(self, monitor: "zmq.Socket[bytes]", deadline: float) -> wire.Accepted:
        seen: set[int] = set()
        poller = zmq.Poller()
        poller.register(monitor, zmq.POLLIN)
        poller.register(self.socket, zmq.POLLOUT)
        while (left := deadline - time.monotonic()) > 0:
            ready = dict(poller.poll(1 + int(1000 * left)))
            if monitor in ready:
                seen.add(recv_monitor_message(monitor)["event"])
                if zmq.EVENT_HANDSHAKE_FAILED_AUTH in seen:
                    raise KeyRefused(f"policy server at {self.endpoint} does not allow our key")
            if ready.get(self.socket) == zmq.POLLOUT:
                self.socket.send(wire.encode(self._hello), zmq.NOBLOCK)
                poller.register(self.socket, zmq.POLLIN)
            elif self.socket in ready:
                answer = wire.decode_answer(self.socket.recv())
                if isinstance(answer, wire.Accepted):
                    return answer
                if answer is not None:
                    raise _explain(self.endpoint, answer)
        raise ServingError(_silence(self.endpoint, seen))

    def _check(self, frame: bytes) -> Reply | wire.Drop:
        reply = wire.read_reply(frame, self._layout, self._token, self._max_rows)
        if isinstance(reply, wire.Drop):
            if isinstance(wire.decode_answer(frame), wire.Refused):
                self.lost, reply = True, wire.Drop.SESSION
            return reply
        if reply.session != self._session or not self._answered < reply.seq <= self._seq:
            return wire.Drop.ORDER
        self._answered = reply.seq
        if reply.seq == self._seq:
            transit_us = (time.monotonic_ns() - self._sent_ns) / 1000 - reply.total_us
            self.transit_us += 0.125 * (transit_us - self.transit_us)
        return reply


class RemotePolicy:
    """A served policy that looks like a local one: blocks until the chunk is there or `timeout_s` has passed."""

    def __init__(
        self, endpoint: str, keys: ClientKeys, sealed: Sealed, *, robot: str = "", timeout_s: float = 1.0
    ) -> None:
        self.sealed, self._timeout_s, self._seq = sealed, timeout_s, 0
        self._client = PolicyClient(endpoint, keys, sealed, robot or f"remote-{os.getpid()}", max_rows=MAX_ROWS)
        try:
            self._max_rows = min(MAX_ROWS, self._client.connect(timeout_s).max_batch)
        except RobostralError:
            self.close()
            raise

    def infer(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map observations, shape (rows, obs_size), to chunks, shape (rows, horizon, n), in as many requests as needed.

        Raises:
            ServingError: No usable reply within the deadline, also after dialling again.
        """
        parts = [self._ask(obs[i : i + self._max_rows]) for i in range(0, len(obs), self._max_rows)]
        return np.concatenate(parts)

    def close(self) -> None:
        """Leave; calling it twice is harmless."""
        self._client.close()

    def _ask(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        client, deadline = self._client, time.monotonic() + self._timeout_s
        while (left := deadline - time.monotonic()) > 0:
            self._seq += 1
            if client.lost or not client.send(obs, 0, self._seq, time.monotonic_ns(), budget_us=int(1e6 * left)):
                client.redial(left)
            elif client.socket.poll(1 + int(1000 * left)) and (reply := client.receive()) is not None:
                if reply.status == wire.Status.OK:
                    return reply.chunk
                raise ServingError(f"policy server at {client.endpoint} answers {reply.status.name}")
        raise ServingError(f"policy server at {client.endpoint} gave no chunk within {self._timeout_s} s")


def _explain(endpoint: str, answer: wire.Refused) -> ServingError | ContractMismatch:
    if answer.reason == "contract":
        return ContractMismatch(f"the policy server at {endpoint}", "ours", answer.fields)
    return ServingError(f"policy server at {endpoint} refuses our {answer.reason}: {'; '.join(answer.fields)}")


def _silence(endpoint: str, seen: set[int]) -> str:
    if zmq.EVENT_HANDSHAKE_SUCCEEDED in seen:
        return f"policy server at {endpoint} did not answer in time"
    if zmq.EVENT_CONNECTED in seen:
        return f"whoever listens at {endpoint} is no policy server with the key in our server.pub"
    return f"no policy server at {endpoint}; start one with `robostral serve`"
