"""`robostral bench serve`: round trips against the floor and a websocket, batches, processor time per request."""

import tempfile
from pathlib import Path
from typing import Any

from robostral.bundle import load
from robostral.process import Child
from robostral.runtime.realtime import precede
from robostral.serving.benchmark.fleet import Fleet, batch, throughput
from robostral.serving.benchmark.rtt import rtt
from robostral.serving.keys import KeyStore


def run(bundle: str, n: int, peer_python: Path | None) -> dict[str, Any]:
    """Measure a served policy from outside, CURVE on; every comparison is taken in turns within this run.

    All servers and clients, as a robot's transport does, run before ordinary work where they may.

    Args:
        bundle: Name or path of the bundle to serve.
        n: Round trips of each kind; a fifth of it for batches.
        peer_python: Python of an environment with `openpi-client`; None leaves that comparison out.
    """
    precede()
    sealed = load(bundle).sealed
    with tempfile.TemporaryDirectory() as folder:
        keys = KeyStore(Path(folder) / "keys")
        keys.create()
        args = ["serve", bundle, "--keys", str(keys.folder), "--bind", "tcp://127.0.0.1:0"]
        with Child("policy server", args, Path(folder) / "log") as server:
            figures = {"bundle": bundle, "n": n, "rtt": rtt(bundle, server.ready, keys, n, peer_python)}
            with Fleet(server.ready, keys.client(), sealed, robots=64) as fleet:
                figures["throughput"] = throughput(fleet, server.pid, seconds=max(1.0, n / 1000))
            with Fleet(server.ready, keys.client(), sealed, robots=8) as fleet:
                figures["batch"] = batch(fleet, max(n // 5, 50))
    return figures
