"""What every campaign needs: a server in a process of its own, a robot that asks, memory, the bound of a rate."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import zmq
from numpy.typing import NDArray

from robostral.bundle import load
from robostral.contract import Sealed
from robostral.errors import ServingError
from robostral.process import Child
from robostral.serving.client import PolicyClient
from robostral.serving.keys import KeyStore
from robostral.serving.wire import Reply

TIMEOUT_MS = 10_000
MEMORY_MB = 5.0
"""How much a server may grow in a campaign [MB]."""


class Rig(NamedTuple):
    """A running server, its keys, and where its files are."""

    server: Child
    keys: KeyStore
    sealed: Sealed
    folder: Path

    @property
    def rss_mb(self) -> float:
        """Memory of the server that is in RAM [MB]."""
        return rss_mb(self.server.pid)

    def robot(self, name: str = "robot") -> PolicyClient:
        """Connect a robot."""
        client = PolicyClient(self.server.ready, self.keys.client(), self.sealed.raw, name)
        client.connect(10.0)
        return client


@contextmanager
def serving(bundle: str, *options: str) -> Iterator[Rig]:
    """Serve a bundle in a child process, with fresh keys in a fresh folder; `{folder}` in an option stands for it."""
    with tempfile.TemporaryDirectory() as name:
        folder, keys = Path(name), KeyStore(Path(name) / "keys")
        keys.create()
        keys.create("admin", "admin")
        args = ["serve", bundle, "--keys", str(keys.folder), "--bind", "tcp://127.0.0.1:0"]
        args += [option.replace("{folder}", name) for option in options]
        with Child("policy server", args, folder / "log") as server:
            yield Rig(server, keys, load(bundle).sealed, folder)


def ask(client: PolicyClient, obs: NDArray[np.float32], seq: int) -> Reply:
    """Ask once, and wait for exactly this answer.

    Raises:
        ServingError: It does not come.
    """
    if not client.socket.poll(TIMEOUT_MS, zmq.POLLOUT) or not client.send(obs, 1, seq, 0, budget_us=10_000_000):
        raise ServingError(f"request {seq} could not leave")
    while (reply := client.receive()) is None or reply.seq != seq:
        if client.lost or not client.socket.poll(TIMEOUT_MS):
            raise ServingError(f"request {seq} was lost")
    return reply


def rss_mb(pid: int | str = "self") -> float:
    """Memory of a process that is in RAM [MB]."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def bound_95(failures: int, n: int) -> float | None:
    """Upper bound of a rate at 95 % where nothing failed (rule of three); None where something did."""
    return 3.0 / n if failures == 0 and n else None
