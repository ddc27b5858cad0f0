"""What a client believes: replies to what it asked last, in order, whole, from this connection; nothing else."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq
from serving_rig import DIGEST, LAYOUT, SEALED, Arithmetic, observe, served

from robostral.errors import RobostralError, ServingError
from robostral.policy import Policy
from robostral.serving.client import PolicyClient
from robostral.serving.handshake import Accepted, Hello, Refused, decode_hello, encode
from robostral.serving.remote import RemotePolicy
from robostral.serving.wire import (
    ClientKeys,
    Drop,
    ReplyFrame,
    Request,
    Status,
    read_request,
)

TOKEN = 77


class Puppet:
    """The server's end of the wire in the test's hand: right key, any bytes."""

    def __init__(self) -> None:
        public, secret = zmq.curve_keypair()
        self.keys = ClientKeys(public, *zmq.curve_keypair())
        self._secret = secret
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.endpoint = "tcp://127.0.0.1:*"
        self.open()

    def open(self) -> None:
        self.router = self.context.socket(zmq.ROUTER)
        self.router.curve_server, self.router.curve_secretkey, self.router.linger = True, self._secret, 0
        self.router.bind(self.endpoint)
        self.endpoint = self.router.getsockopt_string(zmq.LAST_ENDPOINT)

    def take(self) -> bytes:
        assert self.router.poll(5000)
        self.route, frame = self.router.recv_multipart()
        return frame

    def take_request(self) -> Request:
        request = read_request(self.take(), LAYOUT, TOKEN, 8)
        assert isinstance(request, Request)
        return request

    def say(self, frame: bytes) -> None:
        self.router.send_multipart([self.route, frame])


def craft(seq: int, session: int = 1, token: int = TOKEN, status: Status = Status.OK) -> bytes:
    frame = ReplyFrame(LAYOUT, 1, DIGEST)
    frame.chunk[:] = seq
    return bytes(frame.seal(token, status, Request(session, seq, 0, 0, 0, 1, b""), (30, 10, 15)))


@pytest.fixture
def puppet() -> Iterator[Puppet]:
    puppet = Puppet()
    yield puppet
    puppet.context.destroy(linger=0)


@pytest.fixture
def client(puppet: Puppet) -> Iterator[PolicyClient]:
    """A client after its handshake, which is answered by a thread's worth of turns."""
    client = PolicyClient(puppet.endpoint, puppet.keys, SEALED.raw, "cell", bundle="wanted-v1", max_rows=8)
    shake_hands(puppet, client)
    yield client
    client.close()


def shake_hands(puppet: Puppet, client: PolicyClient, answer: bytes = b"") -> None:
    hello: list[Hello | None] = []

    def answer_hello() -> None:
        hello.append(decode_hello(puppet.take()))
        puppet.say(answer or encode(Accepted(TOKEN, "wanted-v1", DIGEST.hex(), 8)))

    thread = threading.Thread(target=answer_hello)
    thread.start()
    try:
        client.connect(5.0)
    finally:
        thread.join()
    assert hello == [Hello("cell", "act", SEALED.raw.decode(), "wanted-v1")]


def replies(client: PolicyClient, count: int) -> list[int]:
    """Wait until `count` messages were judged; return the seq of those that were accepted."""
    seqs: list[int] = []
    dropped = sum(client.drops.values())
    while len(seqs) + sum(client.drops.values()) - dropped < count:
        assert client.socket.poll(5000)
        while (reply := client.receive()) is not None:
            seqs.append(reply.seq)
    return seqs


def test_only_the_current_session_in_rising_order_is_believed(puppet: Puppet, client: PolicyClient) -> None:
    for seq in (1, 2, 3):
        assert client.send(observe(), 1, seq, 0)
        assert puppet.take_request().seq == seq
    for frame in (craft(2), craft(2), craft(1), craft(4), craft(3, session=0), craft(3)):
        puppet.say(frame)
    assert replies(client, 6) == [2, 3]
    assert client.drops == {Drop.ORDER: 4}
    assert client.send(observe(), 2, 1, 0)
    for frame in (craft(4), craft(3), craft(1, session=2)):
        puppet.say(frame)
    assert replies(client, 3) == [1]


def test_broken_replies_are_never_believed(puppet: Puppet, client: PolicyClient) -> None:
    assert client.send(observe(), 1, 1, 0)
    puppet.take_request()
    good = craft(1)
    broken = [good[:size] for size in range(len(good))] + [craft(1, token=TOKEN + 1), b"{}", b'{"type":"hello"}']
    for bit in range(8 * len(good)):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << (bit % 8)
        broken.append(bytes(flipped))
    accepted: list[int] = []
    for start in range(0, len(broken), 8):  # no more at once than the queues hold
        part = broken[start : start + 8]
        for frame in part:
            puppet.say(frame)
        accepted += replies(client, len(part))
    assert accepted == []
    assert not client.lost
    puppet.say(good)
    assert replies(client, 1) == [1]


def test_budget_on_the_wire_is_less_the_measured_transit(puppet: Puppet, client: PolicyClient) -> None:
    client.transit_us = 300.0
    for seq, (budget, left) in enumerate(((20_000, 19_700), (200, 0))):
        client.send(observe(), 1, seq, 0, 2, budget)
        assert puppet.take_request().budget_us == left


def test_transit_is_the_round_trip_less_the_servers_own_time(puppet: Puppet, client: PolicyClient) -> None:
    for seq in range(1, 100):
        client.send(observe(), 1, seq, 0)
        start = time.monotonic()
        puppet.take_request()
        puppet.say(craft(seq, status=Status.LATE))
        assert replies(client, 1) == [seq]
        assert client.transit_us < 1e6 * (time.monotonic() - start) + 1e4
    assert client.transit_us > 0.0


def test_no_session_means_dial_again(puppet: Puppet, client: PolicyClient) -> None:
    client.send(observe(), 1, 1, 0)
    puppet.take_request()
    puppet.say(encode(Refused("session")))
    assert replies(client, 1) == []
    assert client.lost
    old = client.socket
    shake_hands(puppet, client)
    assert not client.lost
    assert client.socket is not old
    assert old.closed


def test_nothing_is_kept_for_a_server_that_is_away(puppet: Puppet, client: PolicyClient) -> None:
    puppet.router.close()
    deadline, seq = time.monotonic() + 5.0, 0
    while client.send(observe(), 1, seq, 0):
        assert time.monotonic() < deadline
        client.socket.poll(10)
        seq += 1
    for seq in range(100):
        assert not client.send(observe(), 2, seq, 0)
    puppet.open()
    assert client.socket.poll(5000, zmq.POLLOUT)
    client.send(observe(), 3, 1, 0)
    assert puppet.take_request().session == 3
    assert client.drops[Drop.UNSENT] == 101


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Refused("bundle", ("no 'x' here",)), "refuses our bundle: no 'x' here"),
        (Refused("wire", ("version: 2 != 1",)), "refuses our wire: version"),
        (Refused("contract", ("rate: 1 != 2",)), "rate: 1 != 2"),
    ],
)
def test_refusal_names_its_reason(puppet: Puppet, answer: Refused, said: str) -> None:
    client = PolicyClient(puppet.endpoint, puppet.keys, SEALED.raw, "cell", bundle="wanted-v1")
    with pytest.raises(RobostralError, match=said):
        shake_hands(puppet, client, encode(answer))
    assert client.lost
    client.close()
    client.close()


def test_remote_policy_is_a_policy(tmp_path: Path) -> None:
    with served(tmp_path) as (server, keys):
        remote: Policy = RemotePolicy(server.endpoint, keys, SEALED)
        for rows in (1, 64, 65, 200):
            assert np.array_equal(remote.infer(observe(rows)), Arithmetic().infer(observe(rows)))
        assert remote.sealed is SEALED
        with pytest.raises(ServingError, match="BAD_OBS"):
            remote.infer(np.full((1, 9), np.nan, np.float32))
        remote.close()
        remote.close()


def test_remote_policy_gives_up_at_its_deadline(tmp_path: Path) -> None:
    with served(tmp_path) as (server, keys):
        remote = RemotePolicy(server.endpoint, keys, SEALED, timeout_s=0.2)
    start = time.monotonic()
    with pytest.raises(ServingError):
        remote.infer(observe())
    assert time.monotonic() - start < 1.0
    remote.close()
    with pytest.raises(ServingError, match="start one with"):
        RemotePolicy(server.endpoint, keys, SEALED, timeout_s=0.1)
