"""Laws of a run in processes: it works, survives its server, leaves nothing behind, says in one line why not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from servo_cell import ARM, ExactPlant, far_goal, near_goal, write_bundle
from test_observer import identified

from robostral import config as presets
from robostral.arm import arm_names, load_arm
from robostral.arm.limits import TAU
from robostral.errors import BundleRefused, ConfigError, ContractMismatch, RobostralError, UnknownName
from robostral.identified import ArmLineage, write_arm
from robostral.oracle import count_violations
from robostral.process import Child, ChildFailed
from robostral.runtime import runlog
from robostral.runtime.assemble import build_driver, build_loop, check_fit
from robostral.runtime.config import DriverConfig, RunConfig
from robostral.runtime.ctl import SOCKET, Control, ControlError
from robostral.runtime.ladder import BRAKE_NS, Mode
from robostral.runtime.launch import Runtime
from robostral.runtime.mailbox import Mailbox
from robostral.runtime.realtime import FakeClock
from robostral.runtime.sizes import sizes_of
from robostral.runtime.status import Status
from robostral.serving.keys import KeyStore

NOBODY = "tcp://127.0.0.9:9"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    write_bundle(folder / "servo")
    KeyStore(folder / "keys").create()
    return folder


def config(site: Path, server: str, driver: str = "sim", **options: object) -> RunConfig:
    return RunConfig(
        "ur5e",
        DriverConfig(driver, options),  # type: ignore[arg-type]
        str(site / "servo"),
        server,
        str(site / "keys"),
        runs=str(site / "runs"),
    )


def serve(site: Path, bind: str = "tcp://127.0.0.1:0") -> Child:
    args = ["serve", str(site / "servo"), "--keys", str(site / "keys"), "--bind", bind]
    return Child("policy server", args, site / "server.log")


@pytest.fixture(scope="module")
def server(site: Path) -> Iterator[str]:
    with serve(site) as child:
        yield child.ready


def wait(runtime: Runtime, done: Callable[[Status], bool], limit_s: float = 8.0) -> Status:
    """Watch the run until `done`; nothing here sleeps to let something happen, every pause is a look at the state."""
    until = time.monotonic() + limit_s
    while not done(status := runtime.status()):
        runtime.check()
        assert time.monotonic() < until, status
        time.sleep(0.005)
    return status


def reach(runtime: Runtime, seed: int) -> None:
    """Arm and reach a goal; where a loaded machine made the loop stop on the way, try again as an operator would."""
    for _ in range(3):
        wait(runtime, lambda s: s.connected)
        runtime.control.ask("rearm")
        runtime.control.ask("goal", *near_goal(seed))
        status = wait(runtime, lambda s: s.mode == "HOLD" or (s.goal_error_m < 2e-3 and s.goal_error_rad < 2e-2))
        if status.mode == "RUN":
            return
    raise AssertionError(status)


def rush(runtime: Runtime) -> None:
    """Be in fast motion."""
    runtime.control.ask("goal", *far_goal())
    wait(runtime, lambda s: s.goal_error_m < 0.6)


def children_of(runtime: Runtime) -> list[int]:
    return [pid for pid in runtime.pids.values() if Path(f"/proc/{pid}").exists()]


def judge(log: runlog.RunLog) -> None:
    parts = log.written()
    starts = np.cumsum([0, *(len(part) for part in parts[:-1])]).tolist()
    found = count_violations(np.concatenate(parts), 0.002, ARM.limits.array, starts)
    assert sum(finding["violations"] for finding in found.values()) == 0, found


def test_a_run_survives_its_server_twice_and_leaves_a_whole_log(site: Path) -> None:
    server = serve(site)
    endpoint = server.ready
    try:
        with Runtime(config(site, endpoint)) as runtime:
            assert runtime.folder.stat().st_mode & 0o777 == 0o700
            with pytest.raises(ControlError, match="no 'home' in HOLD"):
                runtime.control.ask("home")
            for seed in range(2):
                reach(runtime, seed)
                rush(runtime)
                os.kill(server.pid, signal.SIGSTOP if seed else signal.SIGKILL)
                wait(runtime, lambda s: s.mode == "HOLD")
                assert "server" in wait(runtime, lambda s: not s.connected).server
                with pytest.raises(ControlError, match="no goal without a policy server"):
                    runtime.control.ask("goal", *near_goal(0))
                if seed:
                    os.kill(server.pid, signal.SIGCONT)
                else:
                    server.stop()
                    server = serve(site, endpoint)
                listening = time.monotonic()
                wait(runtime, lambda s: s.connected)
                assert time.monotonic() - listening < 3.0
                assert runtime.status().mode == "HOLD"
            runtime.control.ask("rearm")
            runtime.control.ask("home")
            wait(runtime, lambda s: s.mode == "IDLE")
            runtime.control.ask("stop")
            reach(runtime, 5)
            rush(runtime)
            folder = runtime.folder
            os.kill(runtime.pids["transport"], signal.SIGKILL)
            killed = time.monotonic_ns()
            wait(runtime, lambda s: s.mode == "HOLD")
            reach(runtime, 6)  # behind another transport
            assert runtime.status().stops >= 3
            pids = children_of(runtime)
    finally:
        server.stop()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert not (folder / SOCKET).exists()
    log = runlog.read(folder / "log.mcap")
    assert log.whole
    judge(log)
    assert (log.ticks["mode"][log.ticks["t_ns"] > killed] == Mode.BRAKE).any()
    np.testing.assert_array_equal(np.diff(log.ticks["tick"]), 1)
    texts = [event.text for event in log.events]
    for rung in ("BRAKE", "HOLD"):  # a machine that stalls for 10 ms goes past the coast
        assert texts.count(f"{rung} because CHUNK_STALE") >= 3
    check_braking(log)
    assert msgspec.json.decode((folder / "config.json").read_bytes())["contract"] == runtime.bundle.sealed.identity


def check_braking(log: runlog.RunLog) -> None:
    """Braking began on the first tick at or after validity + 10 ms at the latest."""
    t_ns, mode, age, compute = (log.ticks[name] for name in ("t_ns", "mode", "setpoint_age_ns", "compute_ns"))
    for begin in np.flatnonzero((mode[1:] == Mode.BRAKE) & (mode[:-1] != Mode.BRAKE)) + 1:
        last_fed = np.flatnonzero(age[:begin] >= 0)[-1]
        valid_until = t_ns[last_fed] + compute[last_fed] - age[last_fed] + 120_000_000
        assert t_ns[begin - 1] < valid_until + BRAKE_NS + 100_000  # a little passes from `compute_ns` to the age


def test_a_loop_that_dies_is_named_and_the_rest_leaves(site: Path, server: str) -> None:
    with Runtime(config(site, server)) as runtime:
        pids = children_of(runtime)
        os.kill(runtime.pids["loop"], signal.SIGKILL)
        with pytest.raises(ChildFailed, match="the loop ended"):
            wait(runtime, lambda _: False)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert runlog.read(runtime.folder / "log.mcap").whole


def test_an_operator_moves_the_arm_by_hand_without_a_policy_server(site: Path) -> None:
    up = (0.0, -1.4, 1.2, -1.4, -1.5, 0.1)
    child = serve(site)
    preset = msgspec.structs.replace(config(site, child.ready), poses={"up": up}, speed=0.1)
    with Runtime(preset) as runtime:
        child.stop()
        wait(runtime, lambda s: not s.connected)
        assert ctl(runtime.folder, "rearm").startswith("IDLE")
        assert ctl(runtime.folder, "move_to", "up").startswith("MOVING")
        assert runtime.control.ask("hold").held
        assert not runtime.control.ask("resume").held
        runtime.control.ask("speed", 0.6)
        wait(runtime, lambda s: s.mode == "IDLE")
        np.testing.assert_allclose(runtime.status().q, up, atol=5e-3)
        assert ctl(runtime.folder, "jog", "0.3", "0", "0", "0", "0", "-0.3", "--seconds", "0.4").startswith("JOG")
        wait(runtime, lambda s: s.mode == "IDLE")
        assert runtime.status().q[0] - up[0] > 0.03
        with pytest.raises(ControlError, match=r"no pose 'down' \(poses: home, up\)"):
            runtime.control.ask("move_to", name="down")
        with pytest.raises(ControlError, match=r"joint '.*' = 9 rad is outside"):
            runtime.control.ask("move_to", *[9.0] * 6)
        with pytest.raises(ControlError, match=r"no 'tool' in IDLE \(ARRIVED\); stop first"):
            runtime.control.ask("tool", 0.0, 0.0, 0.3)
        runtime.control.ask("stop")
        wait(runtime, lambda s: s.mode == "HOLD")
        with pytest.raises(ControlError, match="tool: the policy was trained for another one"):
            runtime.control.ask("tool", 0.0, 0.0, 0.3)
        with pytest.raises(ControlError, match="payload: this driver has no such setting"):
            runtime.control.ask("payload", 1.0)
    log = runlog.read(runtime.folder)
    judge(log)
    assert {"MOVE_TO: DONE", "HOLD: DONE", "TOOL: TOOL"} <= {event.text for event in log.events}


def test_a_recorder_that_dies_is_replaced_and_the_arm_moves_on(site: Path, server: str) -> None:
    with Runtime(config(site, server)) as runtime:
        reach(runtime, 1)
        rush(runtime)
        os.kill(runtime.pids["recorder"], signal.SIGKILL)
        stops = runtime.status().stops
        wait(runtime, lambda s: s.goal_error_m < 0.4)
        tick = runtime.status().tick
    log = runlog.read(runtime.folder)
    assert len(runlog.parts(runtime.folder)) == 2
    assert log.ticks["tick"][-1] >= tick
    missing = np.diff(log.ticks["tick"]) - 1
    assert missing.sum() <= 50  # 100 ms
    if not stops:  # a loaded machine may have stopped it for its own reasons
        assert (log.ticks["mode"][log.ticks["tick"] > 0] != Mode.FAULT).all()
    starts = np.flatnonzero(missing)
    assert len(starts) <= 1


RUN = "import sys; from robostral.cli import main; main(['run', sys.argv[1]])"


@pytest.fixture
def running(site: Path, server: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """`robostral run` in a terminal of its own, armed and in motion."""
    preset = site / "preset.yaml"
    preset.write_bytes(msgspec.yaml.encode(config(site, server)))
    command = [sys.executable, "-c", RUN, str(preset)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready "), line
        folder = Path(line.removeprefix("ready ").strip())
        with Control(folder) as control:
            control.ask("rearm")
        assert ctl(folder, "goal", *map(str, far_goal())).startswith("RUN (GOAL)")
        yield process, folder
        process.kill()


def ctl(folder: Path, *words: str) -> str:
    code = "import sys; from robostral.cli import main; main(['ctl', *sys.argv[1:]])"
    command = [sys.executable, "-c", code, words[0], "--run", str(folder), *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


def test_ctrl_c_brakes_first_and_leaves_then(running: tuple[subprocess.Popen[str], Path]) -> None:
    process, folder = running
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1] == "robostral: stopped by Ctrl-C"
    log = runlog.read(folder / "log.mcap")
    assert log.whole
    judge(log)
    assert "BRAKE because LEAVING" in [event.text for event in log.events]
    assert log.ticks["mode"][-1] == Mode.HOLD


def test_a_killed_supervisor_takes_its_parts_with_it_after_a_clean_stop(
    running: tuple[subprocess.Popen[str], Path],
) -> None:
    process, folder = running
    process.kill()
    process.wait()
    until = time.monotonic() + 10.0
    while (folder / SOCKET).exists() or not runlog.read(folder / "log.mcap").whole:
        assert time.monotonic() < until
        time.sleep(0.05)
    log = runlog.read(folder / "log.mcap")
    judge(log)
    assert log.ticks["mode"][-1] == Mode.HOLD


def test_a_missing_server_is_one_line_and_nothing_stays(site: Path) -> None:
    with pytest.raises(ChildFailed, match=f"no policy server at {NOBODY}; start one with `robostral serve`"):
        Runtime(config(site, NOBODY)).__enter__()


@pytest.mark.parametrize("name", presets.names("run"))
def test_every_preset_of_a_run_loads_and_names_things_that_exist(name: str) -> None:
    preset = presets.load("run", name, RunConfig)
    assert preset.arm in arm_names()
    assert build_driver(preset.driver)


def test_a_stranger_to_the_preset_is_named(site: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'sim'"):
        build_driver(DriverConfig("sin"))
    with pytest.raises(ConfigError, match="no option 'rate_h'; did you mean 'rate_hz'"):
        build_driver(DriverConfig("sim", {"rate_h": 500}))
    with pytest.raises(UnknownName, match="did you mean 'ur5e'"):
        Runtime(msgspec.structs.replace(config(site, NOBODY), arm="ur5"))
    with pytest.raises(BundleRefused, match="no bundle at"):
        Runtime(msgspec.structs.replace(config(site, NOBODY), bundle=str(site / "none" / "such")))


def build(site: Path, plant: ExactPlant, **changes: object) -> None:
    preset = msgspec.structs.replace(config(site, NOBODY), **changes)
    bundle = Runtime(config(site, NOBODY)).bundle
    build_loop(preset, plant, Mailbox(sizes_of(bundle.sealed.contract, ARM)), FakeClock(), 1)


def test_a_real_driver_needs_a_signed_bundle(site: Path) -> None:
    build(site, ExactPlant())
    with pytest.raises(BundleRefused, match="not signed"):
        build(site, ExactPlant(is_twin=False))


def test_the_preset_in_torque_mode_inserts_its_peg(tmp_path: Path) -> None:
    pytest.importorskip("pybullet")
    KeyStore(tmp_path / "keys").create()
    told = [0.5124, 0.0185, 0.0905, 0.0, 0.99849, 0.05489, 0.0]  # as the preset's own text has it
    args = ["serve", "panda-peg_insert-v1", "--keys", str(tmp_path / "keys"), "--bind", "tcp://127.0.0.1:0"]
    with Child("policy server", args, tmp_path / "server.log") as child:
        preset = msgspec.structs.replace(
            presets.load("run", "panda-peg_insert-twin", RunConfig),
            server=child.ready, keys=str(tmp_path / "keys"), runs=str(tmp_path),
        )  # fmt: skip
        with Runtime(preset) as runtime:
            for _ in range(3):  # where a loaded machine made the arm stop on the way, an operator tries again
                wait(runtime, lambda s: s.connected)
                runtime.control.ask("rearm")
                runtime.control.ask("goal", *told)
                status = wait(runtime, lambda s: s.mode in ("HOLD", "FAULT") or s.p_tcp[2] < told[2] - 0.02, 40.0)
                if status.mode == "RUN":
                    break
            assert status.mode == "RUN", status
            folder = runtime.folder
    ticks = runlog.read(folder).ticks
    torques = ticks["tau_c"][ticks["written"] == 1]
    assert (np.abs(torques) <= load_arm("panda").limits.array[TAU]).all()
    assert np.linalg.norm(ticks["wrench"][:, :3], axis=1).max() > 5.0, "it has felt the surface"


def test_an_identified_arm_comes_with_the_preset(site: Path, tmp_path: Path) -> None:
    lineage = ArmLineage("ur5e", {}, "unknown", 0)
    folder = write_arm(
        tmp_path / "mine",
        identified(),
        name="mine",
        version=1,
        lineage=lineage,
        nmse={},
        card="# mine",
        private_key=None,
    )
    plant = ExactPlant()
    with pytest.raises(ConfigError, match="measures no torques"):
        build(site, plant, identified=str(folder))
    plant.info = replace(plant.info, senses=("tau",))
    with pytest.raises(ConfigError, match="stop_on_contact needs"):
        build(site, plant, stop_on_contact=True)
    build(site, plant, identified=str(folder), stop_on_contact=True)


def test_a_plant_that_does_not_fit_is_refused_before_arming(site: Path) -> None:
    def plant(**changes: object) -> ExactPlant:
        made = ExactPlant()
        made.info = replace(made.info, **changes)  # type: ignore[arg-type]
        return made

    cases: list[tuple[type[RobostralError], str, dict[str, object]]] = [
        (ConfigError, "moves the arm 'panda'", {"arm": "panda"}),
        (ContractMismatch, "joint order", {"joint_names": ARM.chain.joint_names[::-1]}),
        (ConfigError, "takes no joint_position", {"command_modes": ("joint_torque",)}),
        (RobostralError, "2000 Hz", {"rate_hz": 2000.0}),
    ]
    imported = replace(ARM, table=msgspec.structs.replace(ARM.table, simulation_only=True))
    with pytest.raises(ConfigError, match="nobody vouches"):
        check_fit(config(site, NOBODY), plant(is_twin=False).info, imported, Runtime(config(site, NOBODY)).bundle)
    for error, text, changes in cases:
        with pytest.raises(error, match=text):
            build(site, plant(**changes))
