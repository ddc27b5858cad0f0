"""The round trip of one robot, in turns with a bare echo and with openpi's client on a websocket."""

import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from robostral.bundle import OnnxPolicy, load
from robostral.errors import ServingError
from robostral.runtime.realtime import precede
from robostral.serving.benchmark.websocket import serve_websocket
from robostral.serving.client import PolicyClient
from robostral.serving.keys import KeyStore
from robostral.serving.wire import Layout

WARM_UP = 200
BLOCK = 100
"""Ours and the floor take turns one by one; then ours makes this many in a row, then the websocket as many."""
TIMEOUT_MS = 5000
_PEER = Path(__file__).with_name("openpi_peer.py")


def rtt(bundle: str, endpoint: str, keys: KeyStore, n: int, peer_python: Path | None) -> dict[str, Any]:
    """Time `n` round trips of each kind; return percentiles [µs] and their ratios.

    Args:
        bundle: What is served.
        endpoint: Where it is served.
        keys: The server's keys.
        n: Round trips of each kind.
        peer_python: Python of an environment with `openpi-client`; None leaves that comparison out.
    """
    sealed = load(bundle).sealed
    obs = np.zeros(sealed.contract.obs_size, np.float32)
    with ExitStack() as stack:
        client = PolicyClient(endpoint, keys.client(), sealed.raw, "bench")
        stack.callback(client.close)
        client.connect(5.0)
        floor = stack.enter_context(_Floor(bundle, keys))
        peer = stack.enter_context(_Peer(bundle, len(obs), peer_python)) if peer_python else None
        seqs = count()

        def ask() -> None:
            client.send(obs, 1, next(seqs), 0)
            if not client.socket.poll(TIMEOUT_MS) or client.receive() is None:
                raise ServingError("the policy server gave no answer")

        ours, bare, row, theirs = list[float](), list[float](), list[float](), list[float]()
        for _ in range(-(-(n + WARM_UP) // BLOCK)):
            for _ in range(BLOCK):
                ours.append(_time(ask))
                bare.append(_time(floor.ask))
            if peer:
                row += [_time(ask) for _ in range(BLOCK)]
                theirs += peer.ask(BLOCK)
    figures: dict[str, Any] = {"ours_us": _percentiles(ours), "floor_us": _percentiles(bare)}
    if peer:
        figures["ours_in_a_row_us"], figures["websocket_us"] = _percentiles(row), _percentiles(theirs)
        figures["p50_ratio_vs_websocket"] = figures["websocket_us"]["p50"] / figures["ours_in_a_row_us"]["p50"]
    else:
        figures["websocket"] = "absent: name the Python of an environment with openpi-client by --peer-python"
    for p in ("p10", "p50", "p99"):
        figures[f"{p}_ratio_vs_floor"] = figures["ours_us"][p] / figures["floor_us"][p]
    return figures


class _Floor:
    """A process that does nothing but poll, receive, `session.run` and send; and the bare socket that asks it."""

    def __init__(self, bundle: str, keys: KeyStore) -> None:
        self._request = bytes(Layout.of(load(bundle).sealed.raw).request_size(1))
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.curve_serverkey, self._socket.curve_publickey, self._socket.curve_secretkey = keys.client()
        self._process, address = _start(_echo, bundle, str(keys.folder))
        self._socket.connect(address)

    def ask(self) -> None:
        """Make one round trip."""
        self._socket.send(self._request, zmq.NOBLOCK)
        if not self._socket.poll(TIMEOUT_MS):
            raise ServingError("the bare echo gave no answer")
        self._socket.recv(zmq.NOBLOCK)

    def __enter__(self) -> "_Floor":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()
        self._context.destroy(linger=0)


class _Peer:
    """openpi's client in its own environment, and a websocket server with the same policy in ours."""

    def __init__(self, bundle: str, obs_size: int, python: Path) -> None:
        self._server, address = _start(serve_websocket, bundle)
        # What its authors measure is one observation dict with a state, one chunk back.
        self._client = subprocess.Popen(
            [python, _PEER, address, str(obs_size)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, n: int) -> list[float]:
        """Make `n` round trips; return how long each took [s]."""
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        self._client.stdin.write(f"{n}\n")
        self._client.stdin.flush()
        line = self._client.stdout.readline()
        if not line:
            raise ServingError("openpi's client ended; does this Python have openpi-client and typing_extensions?")
        return [float(word) for word in line.split()]

    def __enter__(self) -> "_Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.communicate("")
        self._server.terminate()
        self._server.join()


def _start(target: Callable[..., None], *args: str) -> tuple[Any, str]:
    """Start a server process; return it with the address that it sends."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=target, args=(*args, theirs), daemon=True)
    process.start()
    if not ours.poll(60.0):
        raise ServingError("a server to compare with did not start")
    return process, ours.recv()


def _echo(bundle: str, keys: str, pipe: Connection) -> None:
    precede()
    loaded = load(bundle)
    layout = Layout.of(loaded.sealed.raw)
    policy, reply = OnnxPolicy(loaded), bytes(layout.reply_size(1))
    obs = np.zeros((1, layout.obs_size), np.float32)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.curve_server, router.curve_secretkey = True, KeyStore(keys).server().secret
    router.bind("tcp://127.0.0.1:*")
    pipe.send(router.getsockopt_string(zmq.LAST_ENDPOINT))
    poller = zmq.Poller()
    poller.register(router, zmq.POLLIN)
    while True:
        poller.poll()
        route, _ = router.recv_multipart()
        policy.infer(obs)
        router.send_multipart((route, reply))


def _time(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _percentiles(times: list[float]) -> dict[str, float]:
    return {f"p{q}": 1e6 * float(np.percentile(times[WARM_UP:], q)) for q in (10, 50, 95, 99)}
