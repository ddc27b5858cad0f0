"""ROS 2 bags (SQLite or MCAP): the sensor_msgs/JointState topic that holds the arm's joints.

Note:
    Read with `rosbags`, which needs no ROS installation.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robostral.extras import require
from robostral_policies.identify.log import Log, LogRefused, joint_order

_TYPE = "sensor_msgs/msg/JointState"


def read_bag(path: Path, joint_names: Sequence[str]) -> Log:
    """Read a bag: the file, or the folder with its `metadata.yaml`.

    Raises:
        LogRefused: Not a bag, no JointState topic with these joints, or messages without velocity or effort.
        MissingExtra: rosbags is not installed.
    """
    highlevel, typesys = require("rosbags.highlevel", "train"), require("rosbags.typesys", "train")
    store = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE)
    try:
        with highlevel.AnyReader([path], default_typestore=store) as reader:
            return _read(str(path), reader, joint_names)
    except LogRefused:
        raise
    except Exception as error:  # rosbags lets errors of sqlite3, lz4, its parsers and its own through
        raise LogRefused(f"{path}: not a ROS 2 bag: {error}") from error


def _read(label: str, reader: Any, joint_names: Sequence[str]) -> Log:
    refused: LogRefused | None = None
    topics = [connection for connection in reader.connections if connection.msgtype == _TYPE]
    for connection in topics:
        messages = [
            (stamp, reader.deserialize(raw, connection.msgtype))
            for _, stamp, raw in reader.messages(connections=[connection])
        ]
        try:
            return _columns(f"{label} {connection.topic}", messages, joint_names)
        except LogRefused as error:
            refused = error
    raise refused or LogRefused(f"{label}: no topic of type {_TYPE}; record /joint_states")


def _columns(label: str, messages: list[tuple[int, Any]], joint_names: Sequence[str]) -> Log:
    times, rows = [], []
    for received, message in messages:
        order = joint_order(label, message.name, joint_names)
        fields = (message.position, message.velocity, message.effort)
        for name, field in zip(("position", "velocity", "effort"), fields, strict=True):
            if len(field) != len(message.name):
                raise LogRefused(f"{label}: {name} has {len(field)} values for {len(message.name)} joints; record it")
        # A driver that leaves the header's stamp empty leaves the time of receipt.
        stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        times.append((stamp, received))
        rows.append([field[i] for field in fields for i in order])
    n = len(joint_names)
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 3 * n)
    stamps = np.array(times, dtype=np.int64).reshape(len(times), 2)
    stamped = len(stamps) > 1 and bool(np.ptp(stamps[:, 0]) > 0)
    nanoseconds = stamps[:, 0] if stamped else stamps[:, 1]
    t = 1e-9 * (nanoseconds - nanoseconds[:1]).astype(np.float64)
    return Log(label, t, table[:, :n], table[:, n : 2 * n], table[:, 2 * n :])
