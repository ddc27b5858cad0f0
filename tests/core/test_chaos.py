"""Laws of the fault plane: what it breaks ends in clean stops, its proxy really hits, no real arm is ever touched."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq
from rich.console import Console

from robostral.chaos import campaign, deadman, judge, soak
from robostral.chaos.clock import SteppedClock
from robostral.chaos.faults import KINDS
from robostral.chaos.proxy import FAULTS, Fault, Proxy
from robostral.errors import ConfigError

QUIET = Console(quiet=True)


def test_a_twin_cell_survives_its_peers(tmp_path: Path) -> None:
    pytest.importorskip("pybullet")
    kinds = ("server-stop", "transport-kill", "transport-stop")
    found = campaign.run(kinds, 5, 1, "ur5e-reach-v1", "", tmp_path, wire=False, console=QUIET)
    assert found["n"] == 15
    failures = dict(found["failures"])
    if failures.pop("stopped without cause"):  # a machine that is loaded may stop an arm by itself
        assert found["wakeup_us"]["max"] > 10_000
    if failures.pop("kinds with a reply p99 above 100 ms"):  # as it may answer late
        assert found["wakeup_us"]["max"] > 1_000
    assert not any(failures.values()), failures
    assert found["kinds"]["transport-kill"]["stopped"] == 5
    assert found["kinds"]["transport-kill"]["no reply"] == 0


def test_a_stepped_clock_a_bad_link_and_a_full_disk_do_no_harm(tmp_path: Path) -> None:
    pytest.importorskip("pybullet")
    if not SteppedClock(tmp_path).available:
        pytest.skip("no C compiler")
    kinds = ("link-drop", "link-corrupt", "link-duplicate", "link-reorder", "clock-step", "recorder-kill", "disk-full")
    found = campaign.run(kinds, 1, 2, "ur5e-reach-v1", "", tmp_path / "runs", wire=False, console=QUIET)
    failures = dict(found["failures"])
    failures.pop("stopped without cause")
    assert not any(failures.values()), failures


def test_a_killed_loop_leaves_an_arm_that_its_controller_stops(tmp_path: Path) -> None:
    pytest.importorskip("rtde_receive")
    found = deadman.run(1, 3, "ur5e-reach-v1", "127.0.0.87", tmp_path, QUIET)
    assert not any(found["failures"].values()), found
    assert found["rest_after_kill_ms"]["max"] < 2000.0


def test_the_clock_of_children_steps_and_the_machines_does_not(tmp_path: Path) -> None:
    import subprocess
    import sys

    clock = SteppedClock(tmp_path)
    if not clock.available:
        pytest.skip("no C compiler")
    clock.step(3600)
    code = "import time; print(time.time(), time.monotonic())"
    run = subprocess.run(
        [sys.executable, "-c", code], env=clock.environment, capture_output=True, text=True, check=True
    )
    wall, monotonic = map(float, run.stdout.split())
    assert wall - time.time() == pytest.approx(3600, abs=5)
    assert monotonic == pytest.approx(time.monotonic(), abs=5)


@pytest.mark.parametrize("kinds", [("meteor",), ("server-kill", "meteor")])
def test_an_unknown_kind_is_refused(kinds: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown kind \['meteor'\]"):
        campaign.run(kinds, 1, 0, "ur5e-reach-v1", "", tmp_path, wire=False, console=QUIET)


def test_a_plant_that_is_no_twin_is_refused() -> None:
    from types import SimpleNamespace
    from typing import Any

    plant: Any = SimpleNamespace(runtime=SimpleNamespace(status=lambda: SimpleNamespace(twin=False)))
    with pytest.raises(ConfigError, match="in front of a twin only"):
        campaign.refuse_real(plant)


class Wire:
    """A CURVE echo behind the proxy, as client and server here speak it."""

    def __init__(self) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        public, secret = zmq.curve_keypair()
        self.router = self.context.socket(zmq.ROUTER)
        self.router.curve_server, self.router.curve_secretkey = True, secret
        port = self.router.bind_to_random_port("tcp://127.0.0.1")
        self.proxy = Proxy(f"tcp://127.0.0.1:{port}", seed=0)
        self.dealer = self.context.socket(zmq.DEALER)
        self.dealer.curve_serverkey = public
        self.dealer.curve_publickey, self.dealer.curve_secretkey = zmq.curve_keypair()
        self.dealer.reconnect_ivl = 10
        self.dealer.connect(self.proxy.endpoint)

    def send(self, text: bytes) -> None:
        self.dealer.send(text)

    def heard(self, wait_ms: int = 300) -> list[bytes]:
        found = []
        while self.router.poll(wait_ms):
            found.append(self.router.recv_multipart()[1])
        return found

    def close(self) -> None:
        self.context.destroy(linger=0)
        self.proxy.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    wire.send(b"first")
    assert wire.router.poll(5000)
    assert wire.heard(0) == [b"first"]
    yield wire
    wire.close()


@pytest.mark.parametrize("fault", FAULTS)
def test_the_proxy_hits_frames_and_only_while_it_is_told_to(wire: Wire, fault: Fault) -> None:
    wire.proxy.fault = fault
    for number in range(4):
        wire.send(b"hit %d" % number)
    heard = wire.heard()
    assert wire.proxy.hits >= 1
    wire.proxy.fault = ""
    if fault == "delay":
        assert sorted(heard) == sorted(set(heard))
    else:
        assert len([text for text in heard if text.startswith(b"hit")]) < 4
    until = time.monotonic() + 5.0
    heard = []
    while b"after" not in heard:  # a damaged stream ends a connection, and the next one works
        assert time.monotonic() < until
        wire.send(b"after")
        heard += wire.heard(50)


def test_every_kind_says_what_it_does() -> None:
    assert all(act.__doc__ for act in KINDS.values())


def test_a_stop_without_a_re_arm_and_a_late_brake_are_counted() -> None:
    from robostral.runtime.ladder import Cause, Mode
    from robostral.runtime.records import Op
    from robostral.runtime.runlog import RunLog

    n = 100
    ticks = {name: np.zeros(n, np.int64) for name in ("tick", "t_ns", "mode", "cause", "op", "compute_ns")}
    ticks["tick"], ticks["t_ns"] = np.arange(n), 2_000_000 * np.arange(n)
    ticks["setpoint_age_ns"], ticks["synchronous"] = np.full(n, -1), np.zeros(n, np.int64)
    ticks["mode"][10:50], ticks["mode"][50:60], ticks["mode"][60:] = Mode.RUN, Mode.BRAKE, Mode.HOLD
    ticks["cause"][50:] = Cause.CHUNK_STALE
    ticks["setpoint_age_ns"][10:40] = 2_000_000 * np.arange(30)
    log = RunLog(ticks, [], {}, True)
    assert judge.resumed(log) == 1
    ticks["op"][10] = Op.REARM
    assert judge.resumed(log) == 0
    late, in_time = judge.stops(log, 0.020), judge.stops(log, 0.080)
    assert [stop.in_time for stop in late] == [False]
    assert [stop.in_time for stop in in_time] == [True]
    assert late[0].rest_ms == pytest.approx(20.0)
    assert judge.stale(log, 0.020, 0.080) == 19
    assert judge.stale(log, 0.080, 0.080) == 0
    ticks["synchronous"][:] = 1
    assert (judge.stale(log, 0.020, 0.080), judge.stale(log, 0.020, 0.040)) == (0, 9)


def test_a_soaked_cell_neither_stops_nor_grows(tmp_path: Path) -> None:
    pytest.importorskip("pybullet")
    found = soak.run(30.0, 0, "ur5e-reach-v1", "", tmp_path, QUIET, wire=False, every_s=60.0)
    failures = dict(found["failures"])
    assert found["n"] > 10_000
    if failures.pop("false trips"):  # a machine that is loaded may stop an arm by itself
        assert found["overruns"] > 0
    assert not any(failures.values()), found
