"""Laws of the transport, against a real server: every bit arrives, nothing queues, nothing is hidden."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from servo_cell import HORIZON, N, Servo, far_goal, tcp

from robostral.arm import load_arm
from robostral.errors import ContractMismatch, ServingError
from robostral.runtime import records
from robostral.runtime.board import Board
from robostral.runtime.ctl import Control, ControlError, Door
from robostral.runtime.external import layout
from robostral.runtime.mailbox import Mailbox
from robostral.runtime.operator import Operator
from robostral.runtime.realtime import Bell
from robostral.runtime.records import Op, Sizes
from robostral.runtime.status import Status
from robostral.runtime.transport import SILENCE_S, Link, Transport
from robostral.serving.client import PolicyClient
from robostral.serving.hosted import Hosted
from robostral.serving.keys import KeyStore
from robostral.serving.server import PolicyServer

DIGEST, OTHER = bytes(range(32)), bytes(range(1, 33))
ARM = load_arm("ur5e")
HOME, UP = ARM.home, (0.0, -1.5, 0.0, -1.5, 0.0, 0.0)


class Rig:
    """A transport without its loop: the test plays the loop at the other side of the mailbox."""

    def __init__(self, folder: Path) -> None:
        self.store, self.folder = KeyStore(folder / "keys"), folder / "run"
        self.store.create()
        self.folder.mkdir(mode=0o700)
        self.policy, self.mailbox, self.bell = Servo(), Mailbox(Sizes(N, 27, HORIZON, 7)), Bell.make()
        self.obs = records.empty(self.mailbox.obs.dtype)
        self.door = Door(self.folder)
        self.link: Link | None = None

    def server(self, bind: str = "tcp://127.0.0.1:0", digest: bytes = DIGEST) -> Any:
        return PolicyServer([Hosted(self.policy, "servo", digest)], bind, self.store).in_thread()

    def connect(self, endpoint: str) -> Transport:
        bundle: Any = SimpleNamespace(digest=DIGEST)
        client = PolicyClient(endpoint, self.store.client(), self.policy.sealed.raw, "robot")
        self.link = Link(client, bundle, self.mailbox)
        self.link.dial(5.0)
        board = Board(self.mailbox, layout(self.policy.sealed.contract))
        operator = Operator(self.door, self.mailbox, board, ARM, {"home": HOME.tolist(), "up": UP})
        return Transport(self.mailbox, self.bell, self.link, self.door, operator)

    def ask(self, seq: int, budget_us: int = 5_000_000) -> np.ndarray:
        """Publish an observation as the loop does."""
        self.obs["session"], self.obs["seq"], self.obs["t_obs_ns"] = 5, seq, time.monotonic_ns()
        self.obs["consumed"], self.obs["budget_us"] = 0, budget_us
        self.obs["obs"] = np.random.default_rng(seq).normal(scale=0.1, size=27)
        self.mailbox.obs.publish(self.obs)
        self.bell.ring()
        return self.policy.infer(self.obs["obs"][None])[0]

    def close(self) -> None:
        if self.link:
            self.link.close()
        self.door.close()
        self.bell.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def rounds(transport: Transport, done: Callable[[], object], limit_s: float = 5.0) -> Any:
    until = time.monotonic() + limit_s
    while (result := done()) is None or result is False:
        assert time.monotonic() < until
        transport.round()
    return result


def test_every_bit_of_a_chunk_arrives_with_its_echoes(rig: Rig) -> None:
    with rig.server() as endpoint:
        transport = rig.connect(endpoint)
        for seq in range(1, 20):
            expected = rig.ask(seq)
            chunk = rounds(transport, rig.mailbox.chunk.take)
            np.testing.assert_array_equal(chunk["chunk"], expected)
            assert (chunk["session"], chunk["seq"], chunk["t_obs_ns"]) == (5, seq, rig.obs["t_obs_ns"])
            assert int(chunk["bundle"]) == int.from_bytes(DIGEST[:8], "little")
            assert rig.obs["t_obs_ns"] < chunk["t_arrival_ns"] <= time.monotonic_ns()


def test_a_server_is_not_silent_while_the_loop_gives_it_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    infer, free = rig.policy.infer, threading.Event()
    with rig.server() as endpoint:
        transport = rig.connect(endpoint)
        rig.ask(1)
        monkeypatch.setattr(rig.policy, "infer", lambda obs: infer(obs) if free.wait(5.0) else None)
        until = time.monotonic() + 3.0 * SILENCE_S
        rounds(transport, lambda: time.monotonic() > until)
        assert transport._link.connected
        free.set()
        assert rounds(transport, rig.mailbox.chunk.take)["seq"] == 1


def test_a_late_answer_is_not_handed_on(rig: Rig) -> None:
    with rig.server() as endpoint:
        transport = rig.connect(endpoint)
        rig.ask(1, budget_us=0)
        rounds(transport, lambda: bool(transport._link._state["late"] == 1))
        assert rig.mailbox.chunk.take() is None


def test_a_server_that_goes_is_noticed_and_found_again_and_nothing_waited_for_it(rig: Rig) -> None:
    with rig.server() as endpoint:
        transport = rig.connect(endpoint)
        rig.ask(1)
        rounds(transport, rig.mailbox.chunk.take)
    calls = rig.policy.calls
    gone = time.monotonic()
    seq = 1

    def keep_asking() -> bool:
        nonlocal seq
        seq += 1
        rig.ask(seq, budget_us=120_000)
        return not transport._link.connected

    rounds(transport, keep_asking)
    assert time.monotonic() - gone < SILENCE_S + 0.5
    for _ in range(20):
        keep_asking()
        transport.round()
    with rig.server(endpoint):
        listening = time.monotonic()
        asked_locally = rig.policy.calls - calls
        rounds(transport, lambda: transport._link.connected)
        rig.ask(1000)
        chunk = rounds(transport, rig.mailbox.chunk.take)
        assert time.monotonic() - listening < 1.0
        assert int(chunk["seq"]) == 1000
        assert rig.policy.calls - calls - asked_locally == 2  # this test's own call and the server's one


def test_another_bundle_is_refused_at_the_start_and_named_later(rig: Rig) -> None:
    with rig.server(digest=OTHER) as endpoint, pytest.raises(ContractMismatch, match="digest of bundle 'servo'"):
        rig.connect(endpoint)
    with rig.server() as endpoint:
        transport = rig.connect(endpoint)
    with rig.server(endpoint, OTHER):
        seq = iter(range(1, 10**6))

        def refused() -> bool:
            rig.ask(next(seq))
            link = rig.mailbox.link.take()
            return link is not None and b"digest of bundle" in bytes(link["note"].item())

        rounds(transport, refused)
        assert not transport._link.connected


def test_nobody_there_is_one_line(rig: Rig) -> None:
    client = PolicyClient("tcp://127.0.0.9:9", rig.store.client(), rig.policy.sealed.raw, "robot")
    bundle: Any = SimpleNamespace(digest=DIGEST)
    link = Link(client, bundle, rig.mailbox)
    with pytest.raises(ServingError, match=r"no policy server at tcp://127\.0\.0\.9:9"):
        link.dial(0.2)
    link.close()


def operate(rig: Rig, transport: Transport, op: str, *args: float) -> tuple[Status | None, str, list[int]]:
    """Ask as an operator while the test plays a loop that says yes to everything; return answer, error and ops seen."""
    answers: list[Status] = []
    errors: list[str] = []

    def ask() -> None:
        with Control(rig.folder) as control:
            try:
                answers.append(control.ask(op, *args))
            except ControlError as error:
                errors.append(str(error))

    asking, seen = Thread(target=ask), []
    status = records.empty(rig.mailbox.status.dtype)
    status["quat_wxyz"] = tcp(HOME)[3:]
    rig.mailbox.status.publish(status)
    asking.start()
    while asking.is_alive():
        transport.round()
        command = rig.mailbox.operator.take()
        if command is not None:
            seen.append(int(command["op"]))
            status["serial"] = command["serial"]
            rig.mailbox.status.publish(status)
            rig.bell.ring()
    return (answers[0] if answers else None), (errors[0] if errors else ""), seen


def test_operator_commands_reach_the_loop_and_senseless_ones_do_not(rig: Rig) -> None:
    with rig.server() as endpoint:
        transport = rig.connect(endpoint)
        for op in ("rearm", "home", "stop"):
            status, error, seen = operate(rig, transport, op)
            assert status is not None
            assert seen == [Op[op.upper()]]
        status, error, seen = operate(rig, transport, "status")
        assert status is not None
        assert seen == []
        for op, args, text in (
            ("goal", (0.1, 0.2), "goal takes 3 or 7 numbers, not 2"),
            ("goal", (0.1, 0.2, 0.3, 2.0, 0.0, 0.0, 0.0), "norm 2, not 1"),
            ("speed", (1.5,), r"speed 1.5 is outside (0, 1]"),
            ("home", (1.0,), "home takes 0 numbers, not 1"),
        ):
            _, error, seen = operate(rig, transport, op, *args)
            assert text in error
            assert seen == []


def test_a_goal_without_orientation_keeps_the_present_one(rig: Rig) -> None:
    with rig.server() as endpoint:
        transport = rig.connect(endpoint)
        _, error, seen = operate(rig, transport, "goal", 0.1, -0.2, 0.3)
        assert (error, seen) == ("", [Op.GOAL])
        external = rig.mailbox.external.take()
        assert external is not None
        np.testing.assert_array_equal(external["value"], [0.1, -0.2, 0.3, *tcp(HOME)[3:]])
        _, _, seen = operate(rig, transport, "goal", *far_goal())
        external = rig.mailbox.external.take()
        assert external is not None
        np.testing.assert_array_equal(external["value"], far_goal())
