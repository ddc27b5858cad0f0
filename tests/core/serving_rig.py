"""A policy that is arithmetic, and its contract: what the serving tests serve over real sockets and real keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import zmq
from numpy.typing import NDArray

from robostral.contract import Action, Contract, Device, ObsField, Rate, Sealed
from robostral.serving.client import PolicyClient
from robostral.serving.hosted import Hosted
from robostral.serving.keys import KeyStore
from robostral.serving.server import PolicyServer
from robostral.serving.wire import ClientKeys, Layout, Reply, RequestFrame

JOINTS = tuple(f"joint_{i}" for i in range(6))


def make_contract(horizon: int = 3, policy_hz: float = 25.0) -> Contract:
    bound = (0.06,) * 6
    return Contract(
        task="reach",
        devices=(Device("arm", JOINTS, (1,) * 6),),
        obs=(
            ObsField("q", (6,), "rad", "base", "driver"),
            ObsField("goal", (3,), "m", "base", "external", max_age_s=1.0),
        ),
        action=Action(
            "joint_position_delta", tuple(-b for b in bound), bound, "rad", "base", horizon, 0.04, horizon * 0.04
        ),
        rate=Rate(policy_hz, 0.02),
    )


SEALED = Sealed.seal(make_contract())
DIGEST = bytes(range(32))
LAYOUT = Layout.of(SEALED.raw)


class Arithmetic:
    """chunk[row, h, i] = (h + 1) * obs[row, i]."""

    def __init__(self, sealed: Sealed = SEALED) -> None:
        self.sealed = sealed
        self.calls: list[int] = []
        self.fail = False

    def infer(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.fail:
            raise RuntimeError("out of order")
        self.calls.append(len(obs))
        horizon = self.sealed.contract.action.horizon
        steps = np.arange(1, horizon + 1, dtype=np.float32)
        return steps[None, :, None] * obs[:, None, :6]

    def close(self) -> None:
        self.calls.clear()


def host(name: str = "arithmetic-v1", sealed: Sealed = SEALED) -> Hosted:
    return Hosted(Arithmetic(sealed), name, DIGEST)


def observe(rows: int = 1, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(rows, 9)).astype(np.float32)


@contextmanager
def served(folder: Path, *hosted: Hosted, bind: str = "tcp://127.0.0.1:0") -> Iterator[tuple[PolicyServer, ClientKeys]]:
    """Serve in a thread, over real CURVE; one client pair is allowed."""
    store = KeyStore(folder / "keys")
    if not (store.folder / "server.key").exists():
        store.create()
    server = PolicyServer(hosted or [host()], bind, store)
    with server.in_thread():
        yield server, store.client()


@contextmanager
def dialled(
    server: PolicyServer, keys: ClientKeys, robot: str = "cell", sealed: Sealed = SEALED, max_rows: int = 8
) -> Iterator[PolicyClient]:
    client = PolicyClient(server.endpoint, keys, sealed.raw, robot, max_rows=max_rows)
    try:
        client.connect(5.0)
        yield client
    finally:
        client.close()


def ask(client: PolicyClient, obs: NDArray[np.float32], session: int, seq: int, budget_us: int = 5_000_000) -> Reply:
    """Send one request and wait for its reply; replies to older ones are passed over."""
    assert client.socket.poll(5000, zmq.POLLOUT)
    assert client.send(obs, session, seq, 11, 2, budget_us)
    while (reply := wait_reply(client)).seq != seq:
        pass
    return reply


def wait_reply(client: PolicyClient, timeout_ms: int = 5000) -> Reply:
    while client.socket.poll(timeout_ms):
        reply = client.receive()
        if reply is not None:
            return reply
        assert not client.lost, "the server has no session for us"
    raise AssertionError(f"no reply; dropped {client.drops}")


def craft(client: PolicyClient, session: int, seq: int, token: int | None = None) -> bytes:
    """Make a request frame by hand, with the client's own token if none is given."""
    assert client.server is not None
    frame = RequestFrame(LAYOUT, 1)
    frame.obs[:] = observe()
    token = client.server.token if token is None else token
    return bytes(frame.seal(token, session, seq, 11, 5_000_000, consumed=2, rows=1))
