"""Floods from other processes, on and off: half-open connections, junk, giant frames, a reader that never reads."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import zmq

from robostral.runtime.realtime import precede
from robostral.serving.campaigns.rig import MEMORY_MB, Rig, ask, serving
from robostral.serving.client import PolicyClient
from robostral.serving.dial import open_socket
from robostral.serving.keys import KeyStore
from robostral.serving.wire import RequestFrame

HALF_OPEN = 1000
SEGMENT_S = 0.5
PERIOD_S = 0.004
"""How often the robot asks [s]."""
RATIO = 2.0
"""How much longer its p95 may become."""


def run(bundle: str, seconds: float) -> dict[str, Any]:
    """Time one robot while floods are stopped and going, in turns.

    Args:
        bundle: What is served.
        seconds: How long in all.
    """
    times: dict[bool, list[float]] = {False: [], True: []}
    with serving(bundle) as rig, ExitStack() as stack:
        rig.keys.create("slow")
        rig.keys.create("giant")
        pids = [stack.enter_context(_attacker(attack, rig)) for attack in (_half_open, _junk, _giant, _slow_reader)]
        precede()  # as a robot's transport does; the attackers were started before
        client = rig.robot()
        seqs = iter(range(1 << 40))
        _drive(client, 1.0, seqs)
        before = rig.rss_mb
        for _ in range(max(2, round(seconds / SEGMENT_S / 2))):
            for going in (False, True):
                for pid in pids:
                    os.kill(pid, signal.SIGCONT if going else signal.SIGSTOP)
                times[going] += _drive(client, SEGMENT_S, seqs)
        grown_mb = rig.rss_mb - before
        client.close()
    figures = {
        name: {"n": len(times[going])} | {f"p{q}_us": float(np.percentile(times[going], q)) for q in (50, 95, 99)}
        for name, going in (("quiet", False), ("flooded", True))
    }
    ratio = figures["flooded"]["p95_us"] / figures["quiet"]["p95_us"]
    failures = int(ratio > RATIO) + int(grown_mb > MEMORY_MB)
    return figures | {"p95_ratio": ratio, "grown_mb": grown_mb, "half_open": HALF_OPEN, "failures": failures}


def _drive(client: PolicyClient, seconds: float, seqs: Iterator[int]) -> list[float]:
    """Ask at an even pace; return round trips [µs]."""
    obs, times = np.zeros(client._layout.obs_size, np.float32), list[float]()
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        ask(client, obs, next(seqs))
        times.append(1e6 * (time.perf_counter() - start))
        time.sleep(max(0.0, start + PERIOD_S - time.perf_counter()))  # the pace itself; nothing is waited for
    return times


@contextmanager
def _attacker(attack: Callable[..., None], rig: Rig) -> Iterator[int]:
    """Run an attack in a process; it begins once all is prepared, and is stopped at first."""
    ours, theirs = get_context("spawn").Pipe()
    args = (rig.server.ready, str(rig.keys.folder), rig.sealed.raw, theirs)
    process = get_context("spawn").Process(target=attack, args=args, daemon=True)
    process.start()
    ours.recv()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield process.pid
    finally:
        process.kill()
        process.join()


def _address(endpoint: str) -> tuple[str, int]:
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    return host, int(port)


def _half_open(endpoint: str, keys: str, contract: bytes, pipe: Connection) -> None:
    """Keep many connections open that never say a word; the server hangs up after a second, so dial again."""
    pipe.send("ready")
    held: list[socket.socket] = []
    while True:
        held.append(socket.create_connection(_address(endpoint)))
        if len(held) > HALF_OPEN:
            held.pop(0).close()


def _junk(endpoint: str, keys: str, contract: bytes, pipe: Connection) -> None:
    """Send random bytes over fresh connections."""
    pipe.send("ready")
    while True:
        with socket.create_connection(_address(endpoint)) as connection:
            try:
                for _ in range(100):
                    connection.sendall(os.urandom(4096))
            except OSError:
                continue


def _giant(endpoint: str, keys: str, contract: bytes, pipe: Connection) -> None:
    """Send frames of 8 MB with a key that is allowed; each costs the connection."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    dealer = open_socket(context, KeyStore(keys).client("giant"), 0)
    dealer.connect(endpoint)
    giant = bytes(8 << 20)
    pipe.send("ready")
    while True:
        dealer.send(giant)


def _slow_reader(endpoint: str, keys: str, contract: bytes, pipe: Connection) -> None:
    """Ask as fast as the queue takes it, and never read an answer."""
    client = PolicyClient(endpoint, KeyStore(keys).client("slow"), contract, "slow")
    server = client.connect(10.0)
    frame = RequestFrame(client._layout, 1)
    pipe.send("ready")
    for seq in iter(range(1 << 40)):
        client.socket.send(frame.seal(server.token, 1, seq, 0, 1_000_000, consumed=0, rows=1))
