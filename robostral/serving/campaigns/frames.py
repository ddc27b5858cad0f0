"""Broken frames: random bytes, random tails behind good heads, flips, splices and cuts, into every reader."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import zmq
from numpy.typing import NDArray

from robostral.bundle import load
from robostral.errors import ServingError
from robostral.serving.campaigns.rig import MEMORY_MB, TIMEOUT_MS, ask, bound_95, rss_mb, serving
from robostral.serving.client import PolicyClient, _read_answer
from robostral.serving.handshake import Accepted, Hello, decode_hello, encode
from robostral.serving.wire import (
    Drop,
    Frame,
    Layout,
    ReplyFrame,
    Request,
    RequestFrame,
    Status,
    read_reply,
    read_request,
)

TOKEN = 0x5EED5EED
LIVE = 100
"""One frame in so many goes to a live server too."""
_BLOCK = 64

Reader = Callable[[Frame], bool]


def run(bundle: str, n: int, seed: int) -> dict[str, Any]:
    """Read `n` broken frames; see `attack`, and send one in `LIVE` to a live server.

    Args:
        bundle: What gives the sizes.
        n: How many frames.
        seed: Of the frames.
    """
    sealed = load(bundle).sealed
    figures = attack(Layout.of(sealed.raw), sealed.raw.decode(), n, seed) | {"bundle": bundle}
    figures["live"] = live = _attack_live(bundle, max(n // LIVE, 1000), seed)
    figures["failures"] = figures["taken"] + live["taken"] + (live["grown_mb"] > MEMORY_MB)
    return figures


def attack(layout: Layout, contract: str, n: int, seed: int) -> dict[str, Any]:
    """Give `n` broken frames to the reader of their kind; count those that it takes.

    Args:
        layout: Sizes of the frames.
        contract: Text in the hello.
        n: How many frames.
        seed: Of the frames.
    """
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    kinds = _kinds(layout, contract)
    tried, taken = Counter[str](), Counter[str]()
    grown_mb = rss_mb()
    for i in range(n):
        name, good, read = kinds[i % len(kinds)]
        raw = broken(rng, good)
        tried[name] += 1
        if raw != good and read(raw):
            taken[name] += 1
    total = sum(taken.values())
    by_kind = {name: {"n": tried[name], "taken": taken[name]} for name in tried}
    return {
        "n": n,
        "taken": total,
        "bound_95": bound_95(total, n),
        "by_kind": by_kind,
        "grown_mb": rss_mb() - grown_mb,
    }


def broken(rng: random.Random, good: bytes) -> bytes:
    """Break a good frame in one of six ways."""
    how, at = rng.randrange(6), rng.randrange(len(good))
    if how == 0:
        return rng.randbytes(rng.randrange(2 * len(good)))
    if how == 1:
        return good[:at]
    if how == 2:
        return good[:at] + rng.randbytes(len(good) - at)
    raw = bytearray(good)
    if how == 3:
        for _ in range(rng.randrange(1, 9)):
            raw[rng.randrange(len(good))] ^= 1 << rng.randrange(8)
    elif how == 4:
        raw[at:at] = rng.randbytes(rng.randrange(1, 9))
    else:
        raw[at : at + 8] = rng.choice((b"\0" * 8, b"\xff" * 8, good[:8]))
    return bytes(raw)


def _kinds(layout: Layout, contract: str) -> list[tuple[str, bytes, Reader]]:
    request, reply = RequestFrame(layout, 1), ReplyFrame(layout, 1, bytes(32))
    asked = bytes(request.seal(TOKEN, 1, 2, 3, 4, consumed=5, rows=1))
    parsed = Request(1, 2, 3, 4, 5, 1, b"")
    hello, accepted = Hello("robot", "act", contract), Accepted(TOKEN, "bundle-v1", "0" * 64, 8)

    def takes_request(raw: Frame) -> bool:
        return not isinstance(read_request(raw, layout, TOKEN, 1), Drop)

    def takes_reply(raw: Frame) -> bool:
        return not isinstance(read_reply(raw, layout, TOKEN, 1), Drop)

    # CURVE protects JSON, which has no checksum of its own. A reader must survive it; a break that leaves it JSON makes
    # another message, whose key, role, robot and contract are checked as everybody's.
    def survives_hello(raw: Frame) -> bool:
        decode_hello(raw)
        return False

    def survives_answer(raw: Frame) -> bool:
        _read_answer(bytes(raw))
        return False

    return [
        ("request", asked, takes_request),
        ("reply", bytes(reply.seal(TOKEN, Status.OK, parsed, (3, 2, 1))), takes_reply),
        ("late", bytes(reply.seal(TOKEN, Status.LATE, parsed, (3, 2, 0))), takes_reply),
        ("hello", encode(hello), survives_hello),
        ("accepted", encode(accepted), survives_answer),
    ]


def _others(client: PolicyClient, obs: NDArray[np.float32], seq: int) -> int:
    """Ask once more; return how many replies to anything else came before the answer."""
    if not client.socket.poll(TIMEOUT_MS, zmq.POLLOUT) or not client.send(obs, 1, seq, 0, budget_us=10_000_000):
        raise ServingError(f"request {seq} could not leave")
    found = 0
    while (reply := client.receive()) is None or reply.seq != seq:
        found += reply is not None
        if reply is None and not client.socket.poll(TIMEOUT_MS):
            raise ServingError(f"request {seq} was lost")
    return found + client.drops.pop(Drop.ORDER, 0)


def _attack_live(bundle: str, n: int, seed: int) -> dict[str, Any]:
    """Send broken requests to a server over an accepted connection; none may be answered with a chunk."""
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    with serving(bundle) as rig:
        client = rig.robot()
        layout, taken = Layout.of(rig.sealed.raw), 0
        frame, obs = RequestFrame(layout, 1), np.zeros(layout.obs_size, np.float32)
        ask(client, obs, 0)
        before = rig.rss_mb
        for i in range(-(-n // _BLOCK)):
            assert client.server is not None
            good = bytes(frame.seal(client.server.token, 1, (i + 1) << 32, 0, 10_000_000, consumed=0, rows=1))
            for _ in range(_BLOCK):
                raw = broken(rng, good)
                client.socket.send(raw if raw != good else b"")
            taken += _others(client, obs, ((i + 1) << 32) + 1)
        grown_mb = rig.rss_mb - before
        client.close()
    return {"n": _BLOCK * -(-n // _BLOCK), "taken": taken, "bound_95": bound_95(taken, n), "grown_mb": grown_mb}
