"""Keys that must not get in, knocking again and again; and how long a revoked robot's session lives on."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import zmq
from zmq.utils.monitor import recv_monitor_message

from robostral.errors import ServingError
from robostral.serving.campaigns.rig import Rig, ask, bound_95, serving
from robostral.serving.client import PolicyClient

CUT_S = 1.0
"""Within this time a revoked robot's session must end [s]."""
ANSWER_S = 5.0
"""Within this time a server takes or refuses a connection [s]."""
_ENDS = {zmq.EVENT_HANDSHAKE_FAILED_AUTH, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL}
Socket = zmq.Socket[bytes]


def run(bundle: str, n: int) -> dict[str, Any]:
    """Knock `n` times with every kind of key; see `knock`. Revoke a live session for every 500 of them.

    Args:
        bundle: What is served.
        n: How many of each kind.
    """
    with serving(bundle) as rig:
        before = rig.rss_mb
        accepted = {name: knock(rig.server.ready, _arming(rig, name), n) for name in KINDS}
        grown_mb = rig.rss_mb - before
        cuts = [_revoke(rig, f"robot-{i}") for i in range(max(1, n // 500))]
    total, late = sum(accepted.values()), sum(cut > CUT_S for cut in cuts)
    return {
        "n": n * len(KINDS),
        "accepted": accepted,
        "bound_95": bound_95(total, n * len(KINDS)),
        "revoked_session_cut_s": {"n": len(cuts), "max": max(cuts), "p50": float(np.median(cuts))},
        "grown_mb": grown_mb,
        "failures": total + late,
    }


def knock(endpoint: str, arm: Callable[[Socket], None], n: int) -> int:
    """Begin `n` handshakes, each with a socket of its own; return how many came to an end that lets the peer in.

    Args:
        endpoint: Where the server is.
        arm: Gives a socket its keys.
        n: How many times.
    """
    context: zmq.Context[Socket] = zmq.Context()
    accepted = 0
    for _ in range(n):
        dealer = context.socket(zmq.DEALER)
        dealer.linger = 0
        arm(dealer)
        monitor = dealer.get_monitor_socket()
        dealer.connect(endpoint)
        with suppress(zmq.Again):  # refused already, and nobody left to send to: waiting would be for ever
            dealer.send(b'{"type":"hello"}', zmq.NOBLOCK)
        accepted += _watch(monitor)
        dealer.disable_monitor()
        monitor.close()
        dealer.close()
    context.destroy(linger=0)
    return accepted


KINDS: dict[str, Callable[["Rig", Socket], None]] = {}
"""How a stranger arms a socket, by name."""


def _kind(arm: Callable[["Rig", Socket], None]) -> Callable[["Rig", Socket], None]:
    KINDS[arm.__name__.strip("_")] = arm
    return arm


@_kind
def _unknown(rig: Rig, dealer: Socket) -> None:
    dealer.curve_serverkey = rig.keys.server().public
    dealer.curve_publickey, dealer.curve_secretkey = zmq.curve_keypair()


@_kind
def _revoked(rig: Rig, dealer: Socket) -> None:
    dealer.curve_serverkey, dealer.curve_publickey, dealer.curve_secretkey = rig.keys.client("revoked")


@_kind
def _none(rig: Rig, dealer: Socket) -> None:
    pass


@_kind
def _plain(rig: Rig, dealer: Socket) -> None:
    dealer.plain_username, dealer.plain_password = b"admin", b"admin"


def _arming(rig: Rig, name: str) -> Callable[[Socket], None]:
    if name == "revoked":
        _revoke(rig, name)
    return lambda dealer: KINDS[name](rig, dealer)


def _watch(monitor: Socket) -> bool:
    seen: set[int] = set()
    deadline = time.monotonic() + ANSWER_S  # of all events: a client whose server is gone dials for ever
    while not seen & (_ENDS | {zmq.EVENT_DISCONNECTED, zmq.EVENT_HANDSHAKE_SUCCEEDED}):
        if not monitor.poll(max(0, int(1000 * (deadline - time.monotonic())))):
            raise ServingError(
                f"the server neither took nor refused a connection in {ANSWER_S:g} s; seen: {sorted(seen)}"
            )
        seen.add(recv_monitor_message(monitor)["event"])
    return zmq.EVENT_HANDSHAKE_SUCCEEDED in seen


def _revoke(rig: Rig, name: str) -> float:
    """Revoke a robot that talks; return how long it was still answered [s]."""
    rig.keys.create(name)
    client = PolicyClient(rig.server.ready, rig.keys.client(name), rig.sealed.raw, name)
    client.connect(10.0)
    obs, seq = np.zeros(client._layout.obs_size, np.float32), 0
    ask(client, obs, seq)
    rig.keys.revoke(name)
    start = last = time.monotonic()
    while last > time.monotonic() - CUT_S and not client.lost:
        seq += 1
        client.send(obs, 1, seq, 0)
        if client.socket.poll(20) and client.receive() is not None:
            last = time.monotonic()
    client.close()
    return last - start
