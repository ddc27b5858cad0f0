"""Recorded frames, sent again: in six orders, by the same robot, by another one, and after a restart of the server."""

import random
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import zmq

from robostral.serving import wire
from robostral.serving.campaigns.rig import Rig, ask, bound_95, serving
from robostral.serving.client import PolicyClient
from robostral.serving.wire import Layout, RequestFrame

ORDERS = ("again", "backwards", "shuffled", "every second", "the first", "the last")
_BLOCK = 64


def run(bundle: str, n: int, seed: int) -> dict[str, Any]:
    """Record `n` answered frames and replay them; count the chunks that come back for them.

    Args:
        bundle: What is served.
        n: How many frames.
        seed: Of the shuffled order.
    """
    sent, accepted = dict[str, int](), dict[str, int]()
    with ExitStack() as stack:
        rig = stack.enter_context(serving(bundle))
        client = rig.robot()
        frames = _record(rig, client, n)
        for place in ("the same connection", "another robot", "a new connection", "after a restart"):
            if place == "another robot":
                client = rig.robot("another")
            elif place == "a new connection":
                client = rig.robot()
            elif place == "after a restart":
                rig = stack.enter_context(serving(bundle))
                client = rig.robot()
            sent[place], accepted[place] = _replay(client, frames, seed)
    total, n_sent = sum(accepted.values()), sum(sent.values())
    by_place = {place: {"n": sent[place], "accepted": accepted[place]} for place in sent}
    return {"recorded": n, "orders": ORDERS, "n": n_sent, "failures": total, "bound_95": bound_95(total, n_sent)} | {
        "by_place": by_place
    }


def _record(rig: Rig, client: PolicyClient, n: int) -> list[bytes]:
    """Make `n` frames as a robot's client makes them, and have each of them answered."""
    layout = Layout.of(rig.sealed.raw)
    frame, frames = RequestFrame(layout, 1), list[bytes]()
    assert client.server is not None
    for seq in range(n):
        frames.append(bytes(frame.seal(client.server.token, 1, seq, 0, 10_000_000, consumed=0, rows=1)))
        client.socket.send(frames[-1])
        if seq % 4 == 3:  # no more than the queues hold
            client.socket.recv()
    ask(client, np.zeros(layout.obs_size, np.float32), n)
    return frames


def _replay(client: PolicyClient, frames: list[bytes], seed: int) -> tuple[int, int]:
    """Send the frames in every order; return how many were sent, and how many were answered with a chunk."""
    sent = accepted = 0
    layout = client._layout
    for i, order in enumerate(_orders(frames, seed)):
        for start in range(0, len(order), _BLOCK):
            for raw in order[start : start + _BLOCK]:
                client.socket.send(raw)
            sent += min(_BLOCK, len(order) - start)
            accepted += _answers(client)
        # A newer question is answered, so the server lives and has seen all that came before it.
        ask(client, np.zeros(layout.obs_size, np.float32), len(frames) + 1 + i)
    return sent, accepted


def _answers(client: PolicyClient) -> int:
    """Take in what came; return how many of them are hot frames."""
    found = 0
    while client.socket.poll(0):
        found += not wire.is_json(client.socket.recv(zmq.NOBLOCK))
    return found


def _orders(frames: list[bytes], seed: int) -> Iterator[list[bytes]]:
    yield frames
    yield frames[::-1]
    yield random.Random(seed).sample(frames, len(frames))  # noqa: S311 - not for secrets
    yield frames[::2]
    yield frames[:1] * len(frames)
    yield frames[-1:] * len(frames)
