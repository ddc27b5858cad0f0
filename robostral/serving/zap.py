"""The authenticator: answers libzmq's question 'may this key connect?' inside the server's own poll loop."""

import zmq
from zmq.utils import z85

from robostral.serving.keys import Roster
from robostral.serving.wire import HIGH_WATER

Router = zmq.Socket[bytes]

DOMAIN, ADMIN_DOMAIN = "robostral", "robostral-admin"
"""The control port's domain, and the admin port's, which takes keys with the role admin for every robot only."""
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
        grant = self._roster.grant(key) if version == b"1.0" else None
        admin = domain == ADMIN_DOMAIN.encode() and grant is not None and grant.is_admin
        allowed = admin or (domain == DOMAIN.encode() and grant is not None)
        verdict = [b"200", b"OK", key.encode()] if allowed else [b"400", b"key not allowed", b""]
        self.socket.send_multipart([b"1.0", ticket, *verdict, b""])
        return allowed

    def close(self) -> None:
        """Stop answering; from here on every connection is refused."""
        self.socket.close()


def open_router(context: zmq.Context[zmq.Socket[bytes]], secret: bytes, domain: str, max_message: int) -> Router:
    """Make a ROUTER that only peers whom the authenticator lets into `domain` can talk to.

    ZMTP's heartbeats stay off on both sides: with them a flood ended the process by an assertion of libzmq 4.3.5,
    probably by one that fell due on a broken connection with a full queue (libzmq issue 4841). A robot without an
    answer dials again by itself; TCP's keep-alive clears up after one that vanished.
    """
    router = context.socket(zmq.ROUTER)
    router.curve_server, router.curve_secretkey = True, secret
    router.zap_domain = domain.encode()
    router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    router.router_mandatory, router.linger = 1, 0
    router.sndhwm = router.rcvhwm = HIGH_WATER
    router.maxmsgsize, router.handshake_ivl = max_message, 1000
    router.tcp_keepalive, router.tcp_keepalive_idle, router.tcp_keepalive_intvl, router.tcp_keepalive_cnt = 1, 5, 2, 3
    return router
