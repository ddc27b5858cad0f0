"""The proof at start: before a server says 'ready', a stranger must have been refused and a known key let in."""

import threading
from typing import TYPE_CHECKING

import zmq

from robostral.errors import ServingError
from robostral.serving.client import PolicyClient
from robostral.serving.dial import KeyRefused
from robostral.serving.keys import Grant
from robostral.serving.wire import ClientKeys

if TYPE_CHECKING:
    from robostral.serving.server import PolicyServer

TIMEOUT_S = 5.0
NAME = "canary"


def prove(server: "PolicyServer") -> None:
    """Dial `server` as a stranger and as a guest while it takes its turns.

    Raises:
        ServingError: The stranger got in, or the guest did not: the server must not start.
    """
    outcome: list[str] = []
    visitor = threading.Thread(target=_visit, args=(server, outcome), name=NAME, daemon=True)
    visitor.start()
    while visitor.is_alive():
        server.turn(5)
    server.roster.guest = None
    server.sessions.end_revoked()
    if outcome != ["refused", "accepted"]:
        raise ServingError(f"refusing to start: a stranger was {outcome[0]}, a known key was {outcome[-1]}")


def _visit(server: "PolicyServer", outcome: list[str]) -> None:
    outcome.append(_dial(server, *zmq.curve_keypair()))
    public, secret = zmq.curve_keypair()
    server.roster.guest = Grant(NAME, public.decode(), robots=(NAME,))
    outcome.append(_dial(server, public, secret))


def _dial(server: "PolicyServer", public: bytes, secret: bytes) -> str:
    endpoint = server.endpoint.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    client = PolicyClient(endpoint, ClientKeys(server.public_key, public, secret), server.hosted[0].sealed.raw, NAME)
    try:
        client.connect(TIMEOUT_S)
    except KeyRefused:
        return "refused"
    except ServingError as error:
        return f"not answered ({error})"
    finally:
        client.close()
    return "accepted"
