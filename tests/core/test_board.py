"""Laws of external signals: over CURVE only, the newest one only, dated at receipt, and nothing senseless gets in."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import zmq

from robostral.errors import ConfigError, ServingError
from robostral.runtime.board import Board, Inlet
from robostral.runtime.config import SignalSource
from robostral.runtime.mailbox import Mailbox
from robostral.runtime.records import Sizes
from robostral.serving.keys import KeyStore
from robostral.serving.publish import Bulletin, Signal, SignalPublisher

PLACES = {"goal": slice(0, 7), "belt": slice(7, 8)}
POSE = (0.4, 0.1, 0.2, 1.0, 0.0, 0.0, 0.0)


class Rig:
    def __init__(self, folder: Path) -> None:
        self.keys = KeyStore(folder / "keys")
        self.keys.create()
        self.mailbox = Mailbox(Sizes(6, 10, 3, 8))
        self.board = Board(self.mailbox, PLACES)
        self.publisher = SignalPublisher("tcp://127.0.0.1:0", self.keys)
        self.inlet = Inlet(SignalSource(self.publisher.endpoint, str(self.keys.folder)), self.board)

    def until(self, done: Callable[[], bool], **signals: tuple[float, ...]) -> None:
        """Publish until it shows: a subscription takes its time to arrive."""
        limit = time.monotonic() + 5.0
        while not done():
            assert time.monotonic() < limit
            self.publisher.publish(**signals)
            self.inlet.socket.poll(10)
            self.inlet.receive()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.inlet.close()
    rig.publisher.close()


def test_a_signal_arrives_with_the_age_that_its_sender_states(rig: Rig) -> None:
    record = rig.board._record
    rig.until(lambda: record["t_receipt_ns"][2] > 0, belt=(0.12,))
    before = time.monotonic_ns()
    rig.until(lambda: record["value"][7] == 0.13, belt=(0.13,), goal=POSE)
    assert record["value"][:7].tolist() == list(POSE)
    assert before < record["t_receipt_ns"][0] <= time.monotonic_ns()
    assert record["t_receipt_ns"][1] == 0
    heard = rig.mailbox.external.take()
    assert heard is not None
    assert heard["value"][7] == pytest.approx(0.13)
    rig.inlet._take(Bulletin(1, 1, {"goal": Signal(POSE, 0.05)}))
    assert record["age_ns"][0] == 50_000_000


@pytest.mark.parametrize(
    "signals",
    [
        {"belt": Signal((float("nan"),))},
        {"belt": Signal((1.0, 2.0))},
        {"belt": Signal((1.0,), -0.1)},
        {"belt": Signal((1.0,), float("inf"))},
        {"goal": Signal((*POSE[:3], 0.0, 0.0, 0.0, 0.0))},
    ],
)
def test_what_makes_no_sense_is_refused_and_counted(rig: Rig, signals: dict[str, Signal]) -> None:
    rig.inlet._take(Bulletin(1, 1, signals))
    assert rig.inlet.refused == 1
    assert rig.mailbox.external.take() is None


def test_what_was_sent_earlier_never_replaces_what_was_sent_later(rig: Rig) -> None:
    for seq, value in ((5, 0.5), (4, 0.4), (5, 0.6)):
        rig.inlet._take(Bulletin(1, seq, {"belt": Signal((value,))}))
    assert rig.board._record["value"][7] == 0.5
    assert rig.inlet.refused == 2
    rig.inlet._take(Bulletin(2, 1, {"belt": Signal((0.7,))}))  # the publisher was started anew
    assert rig.board._record["value"][7] == 0.7


def test_a_signal_that_the_policy_does_not_need_is_passed_over(rig: Rig) -> None:
    rig.inlet._take(Bulletin(1, 1, {"part": Signal(POSE), "weather": Signal((1.0,))}))
    assert rig.inlet.refused == 0
    assert rig.mailbox.external.take() is None


def test_a_stranger_hears_nothing_and_is_not_heard(rig: Rig, tmp_path: Path) -> None:
    other = KeyStore(tmp_path / "other")
    other.create()
    rig.until(lambda: rig.board._record["t_receipt_ns"][2] > 0, belt=(0.1,))
    eavesdropper = zmq.Context()
    socket = eavesdropper.socket(zmq.SUB)
    socket.curve_serverkey = rig.keys.client().server
    socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
    socket.subscribe(b"")
    socket.connect(rig.publisher.endpoint)
    for _ in range(30):
        rig.publisher.publish(belt=(0.2,))
        assert not socket.poll(10)
    eavesdropper.destroy(linger=0)
    with SignalPublisher("tcp://127.0.0.1:0", other) as impostor:
        inlet = Inlet(SignalSource(impostor.endpoint, str(rig.keys.folder)), rig.board)
        for _ in range(30):
            impostor.publish(belt=(9.0,))
            assert not inlet.socket.poll(10)
        inlet.close()


def test_junk_on_the_wire_is_counted(rig: Rig) -> None:
    rig.until(lambda: rig.board._record["t_receipt_ns"][2] > 0, belt=(0.1,))
    for junk in (b"", b"\xff" * 50, b"{}", b"[" * 4000, msgspec.json.encode({"session": 1, "seq": 1, "signals": 3})):
        wanted = rig.inlet.refused + 1
        limit = time.monotonic() + 5.0
        while rig.inlet.refused < wanted:
            assert time.monotonic() < limit
            rig.publisher._socket.send(junk)  # again: a publisher keeps little for those who are slow
            rig.inlet.socket.poll(20)
            rig.inlet.receive()


def test_a_wrong_address_or_a_missing_key_is_one_line(rig: Rig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="signals: cannot dial 'gopher://x'"):
        Inlet(SignalSource("gopher://x", str(rig.keys.folder)), rig.board)
    with pytest.raises(ServingError, match="no key"):
        Inlet(SignalSource("tcp://127.0.0.1:1", str(tmp_path / "none")), rig.board)
    with pytest.raises(ServingError, match="cannot bind"):
        SignalPublisher("tcp://256.0.0.1:1", rig.keys)
