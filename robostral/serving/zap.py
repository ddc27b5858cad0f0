"""The authenticator: answers libzmq's question 'may this key connect?' inside the server's own poll loop."""

import zmq
from zmq.utils import z85

from robostral.serving.keys import Roster

DOMAIN = "robostral"
ENDPOINT = "inproc://zeromq.zap.01"


class Authenticator:
    """A ZAP 1.0 handler for CURVE. It has no thread of its own: when the server's loop stops, nobody new gets in.

    Note:
        ZeroMQ RFC 27. libzmq asks nobody unless the server's socket has `ZAP_DOMAIN` and `ZAP_ENFORCE_DOMAIN` set.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], roster: Roster) -> None:
        self._roster = roster
        self.socket = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind(ENDPOINT)

    def answer(self) -> bool:
        """Answer one waiting question; return the answer."""
        version, ticket, domain, _, _, mechanism, *credentials = self.socket.recv_multipart(zmq.NOBLOCK)
        key = z85.encode(credentials[0]).decode() if mechanism == b"CURVE" and len(credentials[0]) == 32 else ""
        allowed = version == b"1.0" and domain == DOMAIN.encode() and self._roster.grant(key) is not None
        verdict = [b"200", b"OK", key.encode()] if allowed else [b"400", b"key not allowed", b""]
        self.socket.send_multipart([b"1.0", ticket, *verdict, b""])
        return allowed

    def close(self) -> None:
        """Stop answering; from here on every connection is refused."""
        self.socket.close()
