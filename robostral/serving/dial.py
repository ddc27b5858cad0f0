"""Dial a server under CURVE with a fresh socket, and tell a refused key, a wrong server and an empty port apart."""

import time

import zmq
from zmq.utils.monitor import recv_monitor_message

from robostral.errors import ServingError
from robostral.serving import wire
from robostral.serving.wire import ClientKeys

Socket = zmq.Socket[bytes]


class KeyRefused(ServingError):
    """The server does not allow our key."""


def open_socket(context: "zmq.Context[Socket]", keys: ClientKeys, max_message: int) -> Socket:
    """Make a DEALER under CURVE that keeps nothing for a server that is away: it would be executed late."""
    socket = context.socket(zmq.DEALER)
    socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = keys
    socket.immediate, socket.linger = 1, 0
    socket.sndhwm = socket.rcvhwm = wire.HIGH_WATER
    socket.reconnect_ivl, socket.handshake_ivl = 10, 1000
    socket.maxmsgsize = max(wire.MIN_MESSAGE, max_message)
    return socket


def ask(socket: Socket, endpoint: str, question: bytes, timeout_s: float) -> bytes:
    """Dial, send `question` as the first message, return the first JSON answer.

    Raises:
        KeyRefused: The server does not allow our key.
        ServingError: The address is malformed, or nobody answers in time.
    """
    with socket.get_monitor_socket() as monitor:
        try:
            socket.connect(endpoint)
            return _exchange(socket, monitor, endpoint, question, time.monotonic() + timeout_s)
        except zmq.ZMQError as error:
            raise ServingError(f"cannot dial '{endpoint}' (tcp://host:port, ipc://path): {error}") from None
        finally:
            socket.disable_monitor()


def _exchange(socket: Socket, monitor: Socket, endpoint: str, question: bytes, deadline: float) -> bytes:
    seen: set[int] = set()
    poller = zmq.Poller()
    poller.register(monitor, zmq.POLLIN)
    poller.register(socket, zmq.POLLOUT)
    while (left := deadline - time.monotonic()) > 0:
        ready = dict(poller.poll(1 + int(1000 * left)))
        if monitor in ready:
            seen.add(recv_monitor_message(monitor)["event"])
            if zmq.EVENT_HANDSHAKE_FAILED_AUTH in seen:
                raise KeyRefused(f"policy server at {endpoint} does not allow our key")
        if ready.get(socket) == zmq.POLLOUT:
            socket.send(question, zmq.NOBLOCK)
            poller.register(socket, zmq.POLLIN)
        elif socket in ready and wire.is_json(answer := socket.recv()):
            return answer
    if zmq.EVENT_HANDSHAKE_SUCCEEDED in seen:
        raise ServingError(f"policy server at {endpoint} did not answer in time")
    if zmq.EVENT_CONNECTED in seen:
        raise ServingError(f"whoever listens at {endpoint} is no policy server with the key in our server.pub")
    raise ServingError(f"no policy server at {endpoint}; start one with `robostral serve`")
