"""What the server promises a robot: the policy's own numbers, in time or not at all; whatever is broken, nothing."""

import dataclasses
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import tiny_bundle
import zmq
from serving_rig import (
    DIGEST,
    SEALED,
    Arithmetic,
    ask,
    craft,
    dialled,
    host,
    make_contract,
    observe,
    served,
    wait_reply,
)

from robostral.bundle import load
from robostral.contract import Sealed
from robostral.errors import BundleRefused, ContractMismatch, ServingError
from robostral.serving.handshake import Hello, encode
from robostral.serving.hosted import Hosted
from robostral.serving.keys import KeyStore
from robostral.serving.server import PolicyServer
from robostral.serving.sessions import MAX_SESSIONS, Session, accept
from robostral.serving.wire import Request, Status


def test_chunk_is_the_policys_own_and_everything_is_echoed(tmp_path: Path) -> None:
    with served(tmp_path) as (server, keys), dialled(server, keys) as client:
        for rows in (1, 5, 8):
            obs = observe(rows)
            reply = ask(client, obs, 7, rows)
            assert np.array_equal(reply.chunk, Arithmetic().infer(obs))
            assert (reply.status, reply.session, reply.seq, reply.t_obs_ns) == (Status.OK, 7, rows, 11)
            assert (reply.consumed, reply.bundle) == (2, DIGEST[:8])
            assert 0 <= reply.queue_us + reply.infer_us <= reply.total_us
        assert client.server is not None
        assert client.server.digest == DIGEST.hex()


def test_ipc_speaks_the_same(tmp_path: Path) -> None:
    with served(tmp_path, bind=f"ipc://{tmp_path}/policy") as (server, keys), dialled(server, keys) as client:
        assert ask(client, observe(), 1, 1).status == Status.OK


def test_late_is_said_before_the_policy_is_asked(tmp_path: Path) -> None:
    hosted = host()
    with served(tmp_path, hosted) as (server, keys), dialled(server, keys) as client:
        asked = len(hosted.policy.calls)
        reply = ask(client, observe(), 1, 1, budget_us=0)
        assert reply.status == Status.LATE
        assert reply.chunk.size == 0
        assert len(hosted.policy.calls) == asked
        assert ask(client, observe(), 1, 2).status == Status.OK


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_number_that_is_none_never_reaches_the_policy(tmp_path: Path, bad: float) -> None:
    hosted = host()
    with served(tmp_path, hosted) as (server, keys), dialled(server, keys) as client:
        asked = len(hosted.policy.calls)
        for i in range(9):
            obs = observe()
            obs[0, i] = bad
            assert ask(client, obs, 1, i).status == Status.BAD_OBS
        assert len(hosted.policy.calls) == asked


def test_policy_that_throws_is_a_fault_and_no_end(tmp_path: Path) -> None:
    hosted = host()
    with served(tmp_path, hosted) as (server, keys), dialled(server, keys) as client:
        hosted.policy.fail = True
        assert ask(client, observe(), 1, 1).status == Status.FAULT
        hosted.policy.fail = False
        assert ask(client, observe(), 1, 2).status == Status.OK


def test_newest_request_wins_and_every_request_is_accounted_for(tmp_path: Path) -> None:
    with served(tmp_path) as (server, keys), dialled(server, keys) as client:
        for seq in range(1, 501):
            client.socket.send(craft(client, 1, seq))
        deadline = time.monotonic() + 5.0
        while server.counts["ok"] + server.counts["superseded"] < 500 and time.monotonic() < deadline:
            client.socket.poll(10)
            client.receive()
        assert server.counts["ok"] + server.counts["superseded"] == 500
        assert ask(client, observe(), 1, 501).seq == 501


@contextmanager
def turning(server: PolicyServer) -> Iterator[None]:
    """Let the server take its turns in this thread's stead, so that the test decides when it stops."""
    done = threading.Event()

    def turn() -> None:
        while not done.is_set():
            server.turn(5)

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_robots_share_a_batch_and_get_their_own_numbers_back(tmp_path: Path) -> None:
    hosted, store = host(), KeyStore(tmp_path)
    store.create()
    server = PolicyServer([hosted], "tcp://127.0.0.1:0", store)
    with ExitStack() as stack:
        with turning(server):
            clients = [stack.enter_context(dialled(server, store.client(), f"robot-{i}")) for i in range(8)]
        observations = [observe(1 + i % 3, i) for i in range(8)]
        for client, obs in zip(clients, observations, strict=True):
            assert client.send(obs, 1, 1, 0)
        while len(hosted.pending) < 8:
            assert server._router.poll(5000)
            server._drain()
        server._answer(hosted)
        assert hosted.policy.calls == [sum(map(len, observations))]
        for client, obs in zip(clients, observations, strict=True):
            assert np.array_equal(wait_reply(client).chunk, Arithmetic().infer(obs))
    server.close()


def test_batch_takes_what_fits_and_leaves_the_rest_for_the_next(tmp_path: Path) -> None:
    hosted, store = host(), KeyStore(tmp_path)
    store.create()
    server = PolicyServer([hosted], "tcp://127.0.0.1:0", store)
    for i, rows in enumerate((30, 1, 33, 64, 1, 5)):
        session = Session(bytes([i]), "key", Hello(f"robot-{i}", "act", ""), hosted)
        assert session.offer(Request(1, 1, 0, 5_000_000, 0, rows, observe(rows, i).tobytes())) is None
    while hosted.pending:
        server._answer(hosted)
    assert hosted.policy.calls == [64, 64, 6]
    server.close()


def test_each_bundle_answers_its_own_contract(tmp_path: Path) -> None:
    long = Sealed.seal(make_contract(horizon=5))
    with (
        served(tmp_path, host(), host("long-v1", long)) as (server, keys),
        dialled(server, keys, "a") as short_client,
        dialled(server, keys, "b", long) as long_client,
    ):
        assert ask(short_client, observe(), 1, 1).chunk.shape == (1, 3, 6)
        assert ask(long_client, observe(), 1, 1).chunk.shape == (1, 5, 6)
        assert long_client.server is not None
        assert long_client.server.bundle == "long-v1"


def test_other_contract_is_refused_with_the_fields(tmp_path: Path) -> None:
    other = Sealed.seal(make_contract(policy_hz=20.0))
    with served(tmp_path) as (server, keys):
        with pytest.raises(ContractMismatch) as caught, dialled(server, keys, sealed=other):
            pass
        assert caught.value.fields == ("rate.policy_hz: 25 != 20",)
        assert server.counts["hello"] == 1


def replay(client_socket: zmq.Socket[bytes], frames: list[bytes]) -> None:
    for frame in frames:
        client_socket.send(frame)


def test_recorded_frames_are_refused_everywhere(tmp_path: Path) -> None:
    """Six orders, into the same connection, a new one, another robot and a restarted server: none is answered."""
    rng = np.random.default_rng(3)
    n = 300
    with served(tmp_path) as (server, keys), dialled(server, keys) as client:
        frames = [craft(client, 1, seq) for seq in range(1, n + 1)]
        for frame in frames:
            client.socket.send(frame)
            assert client.socket.poll(5000)
            client.receive()
        assert server.counts["ok"] == n
        shuffled = [frames[i] for i in rng.permutation(n)]
        orders = [frames, frames[::-1], shuffled, frames[::2], frames[:1] * n, frames[-1:] * n]
        for i, order in enumerate(orders):
            replay(client.socket, order)
            assert ask(client, observe(), 1, n + 1 + i).status == Status.OK
        with dialled(server, keys, "cell") as again, dialled(server, keys, "other") as other:
            for robot in (again, other):
                for i, order in enumerate(orders):
                    replay(robot.socket, order)
                    assert ask(robot, observe(), 1, n + 1 + i).status == Status.OK
        assert server.counts["ok"] == n + 18
        assert server.counts["order"] > 0
        assert server.counts["checksum"] == 2 * sum(map(len, orders))
    with served(tmp_path) as (server, keys), dialled(server, keys) as client:
        for i, order in enumerate(orders):
            replay(client.socket, order)
            assert ask(client, observe(), 1, n + 1 + i).status == Status.OK
        assert server.counts["ok"] == 6


def test_broken_frames_on_the_live_socket_are_counted_and_change_nothing(tmp_path: Path) -> None:
    with served(tmp_path) as (server, keys), dialled(server, keys) as client:
        good = craft(client, 1, 1)
        broken = [good[:size] for size in range(len(good))]
        for bit in range(8 * len(good)):
            flipped = bytearray(good)
            flipped[bit // 8] ^= 1 << (bit % 8)
            broken.append(bytes(flipped))
        replay(client.socket, broken)
        for i in range(8):
            client.socket.send_multipart([good] * (2 + i))
        assert ask(client, observe(), 1, 1).status == Status.OK
        counts = server.counts
        assert counts["ok"] == 1
        assert counts["parts"] == 8
        assert sum(counts[reason] for reason in ("size", "magic", "version", "type", "checksum", "hello")) == len(
            broken
        )


def test_session_of_a_frame_never_goes_back(tmp_path: Path) -> None:
    with served(tmp_path) as (server, keys), dialled(server, keys) as client:
        assert ask(client, observe(), 5, 9).status == Status.OK
        replay(client.socket, [craft(client, 5, 9), craft(client, 5, 8), craft(client, 4, 100)])
        assert ask(client, observe(), 6, 1).session == 6
        assert (server.counts["ok"], server.counts["order"]) == (2, 3)


def test_newer_handshake_of_a_robot_ends_the_older_session(tmp_path: Path) -> None:
    with served(tmp_path) as (server, keys), dialled(server, keys) as old, dialled(server, keys) as new:
        assert ask(new, observe(), 1, 1).status == Status.OK
        assert old.send(observe(), 1, 1, 0)
        assert old.socket.poll(5000)
        assert old.receive() is None
        assert old.lost
        old.redial(5.0)
        assert ask(old, observe(), 1, 1).status == Status.OK


def test_sessions_are_bounded(tmp_path: Path) -> None:
    with served(tmp_path) as (server, keys), dialled(server, keys) as client:
        for i in range(MAX_SESSIONS + 20):
            hello = Hello(f"robot-{i}", "act", SEALED.raw.decode())
            assert not isinstance(server.sessions.greet(b"%d" % i, keys.public.decode(), encode(hello)), str)
        assert len(server.sessions) == MAX_SESSIONS
        assert client.send(observe(), 1, 1, 0)
        assert client.socket.poll(5000)
        assert client.receive() is None
        assert client.lost


def test_policy_that_breaks_its_contract_is_not_served(tmp_path: Path) -> None:
    class Wrong(Arithmetic):
        def infer(self, obs):
            return super().infer(obs)[:, :2]

    with pytest.raises(BundleRefused, match="arithmetic"), served(tmp_path, Hosted(Wrong(), "arithmetic-v1", DIGEST)):
        pass


@pytest.mark.parametrize(
    "bind", ["http://127.0.0.1:1", "127.0.0.1:7400", "tcp://127.0.0.1", "tcp://127.0.0.1:x", "inproc://a", ""]
)
def test_address_that_is_none_is_refused(tmp_path: Path, bind: str) -> None:
    with pytest.raises(ServingError, match="cannot bind"), served(tmp_path, bind=bind):
        pass


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_address_in_use_is_one_clear_line(tmp_path: Path, transport: str) -> None:
    bind = "tcp://127.0.0.1:0" if transport == "tcp" else f"ipc://{tmp_path}/policy"
    with served(tmp_path, bind=bind) as (server, keys), dialled(server, keys) as client:
        with pytest.raises(ServingError, match="in use"), served(tmp_path, bind=server.endpoint):
            pass
        assert ask(client, observe(), 1, 1).status == Status.OK
    with served(tmp_path, bind=server.endpoint):
        pass


def test_public_address_is_proven_over_loopback(tmp_path: Path) -> None:
    with served(tmp_path, bind="tcp://0.0.0.0:0") as (server, keys):
        server.endpoint = server.endpoint.replace("0.0.0.0", "127.0.0.1")
        with dialled(server, keys) as client:
            assert ask(client, observe(), 1, 1).status == Status.OK


def test_manifest_too_long_for_a_message_is_left_out(tmp_path: Path) -> None:
    hosted = Hosted.from_bundle(load(tiny_bundle.write(tmp_path / "tiny")))
    session = Session(b"", "key", Hello("cell", "act", ""), hosted)
    assert accept(session).manifest.encode() == hosted.bundle.manifest_bytes
    hosted.bundle = dataclasses.replace(hosted.bundle, manifest_bytes=b" " * (1 << 16))
    assert accept(session).manifest == ""
    assert accept(session).digest == hosted.digest.hex()
    hosted.policy.close()
