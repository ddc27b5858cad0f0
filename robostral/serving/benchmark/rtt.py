"""`robostral bench serve`: the round trip of a served policy against the floor that ZeroMQ and onnxruntime set."""

import tempfile
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from robostral.bundle import Bundle, OnnxPolicy, load
from robostral.errors import ServingError
from robostral.process import Child
from robostral.runtime.realtime import precede
from robostral.serving.client import PolicyClient
from robostral.serving.keys import KeyStore
from robostral.serving.wire import Layout

WARM_UP = 200
TIMEOUT_MS = 5000


def run(bundle: str, n: int) -> dict[str, Any]:
    """Time one robot's round trip, CURVE on, in turn with a bare echo of as many bytes around one `session.run`.

    Both servers and the client, as a robot's transport does, run before ordinary work where they may.

    Args:
        bundle: Name or path of the bundle to serve.
        n: Round trips of each kind.
    """
    precede()
    with tempfile.TemporaryDirectory() as folder:
        keys = KeyStore(Path(folder) / "keys")
        keys.create()
        args = ["serve", bundle, "--keys", str(keys.folder), "--bind", "tcp://127.0.0.1:0"]
        with Child("policy server", args, Path(folder) / "log") as server, _Floor(bundle, keys) as floor:
            sealed = load(bundle).sealed
            client = PolicyClient(server.ready, keys.client(), sealed.raw, "bench")
            ours, bare = _interleave(client, floor, sealed.contract.obs_size, n)
    rtt = {"ours_us": _percentiles(ours), "floor_us": _percentiles(bare)}
    ratios = {f"{p}_ratio_vs_floor": rtt["ours_us"][p] / rtt["floor_us"][p] for p in ("p10", "p50", "p99")}
    return {"bundle": bundle, "n": n, "rtt": rtt | ratios}


class _Floor:
    """A process that does nothing but poll, receive, `session.run` and send; and the bare socket that asks it."""

    def __init__(self, bundle: str, keys: KeyStore) -> None:
        layout = Layout.of(load(bundle).sealed.raw)
        self.request = bytes(layout.request_size(1))
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.curve_serverkey, self.socket.curve_publickey, self.socket.curve_secretkey = keys.client()
        ours, theirs = get_context("spawn").Pipe()
        self._process = get_context("spawn").Process(target=_echo, args=(bundle, str(keys.folder), theirs), daemon=True)
        self._process.start()
        self.socket.connect(ours.recv())

    def __enter__(self) -> "_Floor":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()
        self._context.destroy(linger=0)


def _echo(bundle: str, keys: str, pipe: Connection) -> None:
    precede()
    loaded: Bundle = load(bundle)
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


def _interleave(client: PolicyClient, floor: _Floor, obs_size: int, n: int) -> tuple[list[float], list[float]]:
    client.connect(5.0)
    obs = np.zeros(obs_size, np.float32)
    ours, bare = [], []
    for seq in range(n + WARM_UP):
        start = time.perf_counter_ns()
        client.send(obs, 1, seq, start)
        if not client.socket.poll(TIMEOUT_MS) or client.receive() is None:
            raise ServingError("the policy server gave no answer")
        middle = time.perf_counter_ns()
        floor.socket.send(floor.request, zmq.NOBLOCK)
        if not floor.socket.poll(TIMEOUT_MS):
            raise ServingError("the bare echo gave no answer")
        floor.socket.recv(zmq.NOBLOCK)
        ours.append((middle - start) / 1000)
        bare.append((time.perf_counter_ns() - middle) / 1000)
    client.close()
    return ours[WARM_UP:], bare[WARM_UP:]


def _percentiles(times_us: list[float]) -> dict[str, float]:
    return {f"p{q}": float(np.percentile(times_us, q)) for q in (10, 50, 95, 99)}
