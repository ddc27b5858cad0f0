"""What logs may be: every reader gives the same motion, and what cannot be used is refused with the reason."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from robostral_policies.identify.base import base_regressor, find_base
from robostral_policies.identify.checks import DEGREE, check_motion, check_torques, check_units
from robostral_policies.identify.fourier import HARMONICS, at_rest
from robostral_policies.identify.log import Log, LogRefused, read_log
from robostral_policies.identify.physical import consistent, pseudo_inertia
from robostral_policies.identify.planted import FINE_HZ, RECORDERS, plant, record
from robostral_policies.identify.prepare import prepare
from robostral_policies.identify.read_csv import column_names, write_csv

from robostral.arm import load_arm
from robostral.kinematics.regressor import parameters
from robostral.kinematics.rnea import rnea
from robostral.runtime.recorder import LogWriter
from robostral.runtime.records import Sizes, tick_dtype

ARM = load_arm("ur10")
N = ARM.chain.n
NAMES = ARM.chain.joint_names


@pytest.fixture(scope="module")
def log() -> Log:
    weights = 0.18 * np.random.default_rng(4).normal(size=(2, N, HARMONICS))
    motion = at_rest(12.0, ARM.home, weights[0], weights[1])
    t = np.arange(0.0, 12.0, 1.0 / FINE_HZ)
    q, dq, ddq, _ = motion.at(t)
    return record(plant(ARM, 0), RECORDERS["ur"], (t, q, dq, ddq), 0, "planted")[0]


def use(log: Log) -> list[str]:
    doubts = check_units(log, ARM)
    motions, _ = prepare(log, ARM)
    doubts += check_torques(motions, ARM, log.name)
    check_motion(motions, ARM, log.name)
    return doubts


def test_sound_log_is_used_without_doubt(log: Log) -> None:
    assert use(log) == []


def test_csv_and_ros2_bag_give_the_same_motion(log: Log, tmp_path: Path) -> None:
    write_csv(tmp_path / "log.csv", log)
    write_bag(tmp_path / "bag", log)
    for path in (tmp_path / "log.csv", tmp_path / "bag", next((tmp_path / "bag").glob("*.db3"))):
        again = read_log(path, NAMES)
        for name in ("t", "q", "dq", "tau"):
            np.testing.assert_allclose(getattr(again, name), getattr(log, name), atol=1e-6)


def test_run_log_of_ours_gives_the_same_motion_and_without_torques_is_refused(log: Log, tmp_path: Path) -> None:
    dtype = tick_dtype(Sizes(n=N, obs=1, horizon=1, external=0))
    rows = np.zeros(len(log.t), dtype)
    rows["tick"], rows["t_ns"] = np.arange(len(rows)), 5_000_000_000 + np.round(log.t * 1e9)
    rows["q"], rows["dq"] = log.q, log.dq
    for name, tau in (("with", log.tau), ("without", np.zeros_like(log.tau))):
        rows["tau"] = tau
        writer = LogWriter(tmp_path / f"{name}.mcap", dtype, {})
        writer.ticks(rows)
        writer.close()
    again = read_log(tmp_path / "with.mcap", NAMES)
    for name in ("t", "q", "dq", "tau"):
        np.testing.assert_allclose(getattr(again, name), getattr(log, name), atol=1e-9)
    with pytest.raises(LogRefused, match="hold no torques"):
        read_log(tmp_path / "without.mcap", NAMES)


def write_bag(folder: Path, log: Log) -> None:
    rosbag2 = pytest.importorskip("rosbags.rosbag2")
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    kinds = store.types
    order = [2, 0, 1, 3, 5, 4]  # by name, not by place
    with rosbag2.Writer(folder, version=9) as writer:
        connection = writer.add_connection("/joint_states", "sensor_msgs/msg/JointState", typestore=store)
        for k, t in enumerate(log.t):
            ns = 1_000_000_000 + round(float(t) * 1e9)
            stamp = kinds["builtin_interfaces/msg/Time"](sec=ns // 10**9, nanosec=ns % 10**9)
            header = kinds["std_msgs/msg/Header"](stamp=stamp, frame_id="")
            message = kinds["sensor_msgs/msg/JointState"](
                header=header,
                name=[f"left_{NAMES[i]}" for i in order],
                position=log.q[k, order],
                velocity=log.dq[k, order],
                effort=log.tau[k, order],
            )
            writer.write(connection, ns, store.serialize_cdr(message, "sensor_msgs/msg/JointState"))


def swap(log: Log, i: int, j: int, *, motion: bool, torque: bool) -> Log:
    order = np.arange(N)
    order[[i, j]] = j, i
    q, dq = (log.q[:, order], log.dq[:, order]) if motion else (log.q, log.dq)
    return replace(log, q=q, dq=dq, tau=log.tau[:, order] if torque else log.tau)


def with_nan(log: Log) -> Log:
    tau = log.tau.copy()
    tau[100, 2] = np.nan
    return replace(log, tau=tau)


SPOILED = {
    "degrees": (lambda log: replace(log, q=log.q * DEGREE, dq=log.dq * DEGREE), "look like degrees"),
    "velocity in degrees": (lambda log: replace(log, dq=log.dq * DEGREE), "looks like deg/s"),
    "position in degrees": (lambda log: replace(log, q=log.q * DEGREE), "degrees"),
    "velocity swapped": (lambda log: replace(log, dq=log.dq[:, [1, 0, 2, 3, 4, 5]]), "joints are swapped"),
    "torque swapped": (lambda log: swap(log, 1, 2, motion=False, torque=True), "are swapped: gravity"),
    "joints swapped": (lambda log: swap(log, 0, 1, motion=True, torque=True), "are swapped: gravity"),
    "torque negative": (lambda log: replace(log, tau=-log.tau), "opposite sign"),
    "torque in N·mm": (lambda log: replace(log, tau=1000.0 * log.tau), "another unit"),
    "saturated": (lambda log: replace(log, tau=np.clip(log.tau, -20.0, 20.0)), "torque is saturated"),
    "a joint at rest": (lambda log: still(log, 3), "'wrist_1_joint' moves by"),
    "too slow": (lambda log: thin(log, 10), "too slow to see accelerations"),
    "mostly gaps": (lambda log: torn(log), "gaps leave"),
}


def still(log: Log, joint: int) -> Log:
    q, dq = log.q.copy(), log.dq.copy()
    q[:, joint], dq[:, joint] = q[0, joint], 0.0
    return replace(log, q=q, dq=dq)


def thin(log: Log, every: int) -> Log:
    return replace(log, t=log.t[::every], q=log.q[::every], dq=log.dq[::every], tau=log.tau[::every])


def torn(log: Log) -> Log:
    return replace(log, t=log.t + 5.0 * np.floor(log.t / 0.5))


@pytest.mark.parametrize("how", SPOILED)
def test_spoiled_log_is_refused_with_the_reason(log: Log, how: str) -> None:
    spoil, reason = SPOILED[how]
    with pytest.raises(LogRefused, match=reason):
        use(spoil(log))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "column 't' is there 0 times"),
        ("HEADER_WITHOUT_TAU6", "column 'tau6' is there 0 times"),
        ("HEADER\n" + ",".join(["1"] * 19) + "\n" + ",".join(["1"] * 18), "line 3 has 18 values, the header has 19"),
        ("HEADER\n" + ",".join(["x"] * 19), "line 2: could not convert"),
        ("HEADER\n" + "\n".join([",".join(["1"] * 19)] * 3), "the clock steps by 0"),
        ("HEADER\n" + ",".join(["1"] * 19) + "\n2," + ",".join(["nan"] * 18), "q1 is not a finite number in row 2"),
        ("HEADER\n" + ",".join(["1"] * 19), "1 samples"),
    ],
)
def test_broken_csv_is_refused_with_the_line(tmp_path: Path, text: str, reason: str) -> None:
    header = ",".join(column_names(N))
    text = text.replace("HEADER_WITHOUT_TAU6", header.removesuffix(",tau6")).replace("HEADER", header)
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(LogRefused, match=reason):
        read_log(tmp_path / "log.csv", NAMES)


def test_gap_is_counted_and_nothing_is_joined_across_it(log: Log) -> None:
    cut = replace(log, t=np.where(log.t > 6.0, log.t + 2.0, log.t))
    motions, recording = prepare(cut, ARM)
    assert (recording.gaps, len(motions)) == (1, 2)
    assert recording.lost_s == pytest.approx(2.0, abs=0.05)


def test_velocity_that_lags_is_measured(log: Log) -> None:
    late = replace(log, dq=np.roll(log.dq, 3, axis=0))
    assert prepare(late, ARM)[1].lag_s[0] == pytest.approx(3 / 125.0, abs=1e-9)


def test_missing_file_and_foreign_ending_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LogRefused, match="no log at"):
        read_log(tmp_path / "none.csv", NAMES)
    (tmp_path / "log.txt").write_text("x")
    with pytest.raises(LogRefused, match=r"read are \.csv"):
        read_log(tmp_path / "log.txt", NAMES)
    (tmp_path / "log.db3").write_text("x")
    with pytest.raises(LogRefused, match="not a ROS 2 bag"):
        read_log(tmp_path / "log.db3", NAMES)


def test_base_parameters_give_the_torques_of_all(log: Log) -> None:
    q, dq, ddq = np.random.default_rng(1).uniform(-1.0, 1.0, (3, 20, N))
    base = find_base(ARM.chain)
    beta = base.combine @ np.concatenate([parameters(ARM.chain), np.zeros(N)])
    np.testing.assert_allclose(base_regressor(ARM.chain, q, dq, ddq) @ beta, rnea(ARM.chain, q, dq, ddq), atol=1e-8)


def test_consistent_inertias_stay_consistent_whatever_was_fitted() -> None:
    base = find_base(ARM.chain)
    beta = base.combine @ np.concatenate([parameters(ARM.chain), np.full(N, 0.1)])
    wild = beta * np.random.default_rng(2).uniform(-1.0, 2.0, len(beta))
    for wanted, tolerance in ((beta, 0.02), (wild, None)):
        pi, rotor = consistent(ARM.chain, base, wanted, 1e4 * np.eye(len(beta)))
        assert (rotor > 0.0).all()
        assert all(np.linalg.eigvalsh(pseudo_inertia(row))[0] > 0.0 for row in pi)
        if tolerance is not None:
            found = base.combine @ np.concatenate([pi.ravel(), rotor])
            np.testing.assert_allclose(found, wanted, atol=tolerance * np.abs(wanted).max())
