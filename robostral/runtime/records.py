"""What crosses between the loop and its neighbours, as fixed records of 8-byte words; shapes come from the contract."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Record = NDArray[np.void]
"""A structured array of shape (); fields are read and written in place."""


@dataclass(frozen=True)
class Sizes:
    """The numbers that fix every record: joints, observation, chunk length, external signals; rows of the tick ring.

    `action` is what a step of a chunk holds; 0 stands for the number of joints. `torques` are those of a command in
    torque mode, `touch` those from outside of an identified arm; 0 without them.
    """

    n: int
    obs: int
    horizon: int
    external: int
    ring: int = 4096
    action: int = 0
    torques: int = 0
    touch: int = 0


class Op(IntEnum):
    """What an operator may ask of the loop."""

    NONE = 0
    REARM = 1
    STOP = 2
    HOME = 3
    GOAL = 4
    """Follow the policy to the goal that came along as an external signal."""
    SPEED = 5
    MOVE_TO = 6
    """Joint positions [rad]."""
    JOG = 7
    """Joint velocities [rad/s]; has to be repeated, see `robostral.control.jog`."""
    JOG_TCP = 8
    """Twist of the tcp in axes of `base` [m/s, rad/s]; likewise."""
    HOLD = 9
    """Stand still on the path, armed."""
    RESUME = 10
    FOLLOW = 11
    """Follow the policy on the external signals as they come."""
    TOOL = 12
    """Pose of the tcp in the flange: p [m] and quat_wxyz."""
    PAYLOAD = 13
    """Mass [kg] and centre of mass in the flange [m]."""


class Answer(IntEnum):
    """How the loop answered the last operator command."""

    DONE = 0
    WRONG_MODE = 1
    """The ladder has no such step from where it is."""
    START_POSE = 2
    """The guard refused the measured pose as a place to start from; the guard's reason is in the status."""
    BAD_VALUE = 3
    PLANT = 4
    """The plant is not ready; its status is in the status record."""
    NOT_AT_REST = 5
    TOO_SLOW = 6
    """The policy takes longer than the site lets any chunk live."""
    NO_SIGNAL = 7
    """An external signal is missing or too old."""
    SELF_TEST = 8
    """The loop has not measured its own wake-ups for long enough."""
    LATE_WAKEUPS = 9
    """It has, and the worst one was later than half a period."""
    NOT_TAKEN = 10
    """The driver knows no such setting."""
    TOOL = 11
    """The policy was trained for another tool."""


def obs_dtype(sizes: Sizes) -> np.dtype[np.void]:
    """Observation, loop to transport: what the policy sees, and what its answer will be matched against."""
    return _dtype(
        ("session", "u8"), ("seq", "u8"), ("t_obs_ns", "i8"), ("consumed", "i8"), ("budget_us", "i8"),
        ("obs", "f4", (sizes.obs,)),
    )  # fmt: skip


def chunk_dtype(sizes: Sizes) -> np.dtype[np.void]:
    """Action chunk, transport to loop.

    `bundle` is the digest's first 8 bytes; `stages_us` are the server's own times: queue, inference, total.
    """
    return _dtype(
        ("session", "u8"), ("seq", "u8"), ("t_obs_ns", "i8"), ("t_arrival_ns", "i8"), ("bundle", "u8"),
        ("stages_us", "i8", (3,)), ("chunk", "f4", (sizes.horizon, sizes.action or sizes.n)),
    )  # fmt: skip


def external_dtype(sizes: Sizes) -> np.dtype[np.void]:
    """External signals; for goal, part and belt the local receipt time [ns], 0 for never, and the age stated [ns]."""
    return _dtype(("t_receipt_ns", "i8", (3,)), ("age_ns", "i8", (3,)), ("value", "f8", (max(sizes.external, 1),)))


def operator_dtype(sizes: Sizes) -> np.dtype[np.void]:
    """One operator command; `serial` comes back in the status once handled. A goal itself is an external signal."""
    return _dtype(("serial", "i8"), ("op", "i8"), ("args", "f8", (max(sizes.n, 7),)))


def status_dtype(sizes: Sizes) -> np.dtype[np.void]:
    """What the loop tells everybody, once per policy step and at every change."""
    n = sizes.n
    return _dtype(
        ("t_ns", "i8"), ("tick", "i8"), ("mode", "i8"), ("cause", "i8"), ("plant", "i8"), ("guard", "i8"),
        ("serial", "i8"), ("answer", "i8"), ("session", "u8"), ("seq", "u8"), ("speed", "f8"),
        ("goal_set", "i8"), ("goal", "f8", (max(sizes.external, 1),)), ("p_tcp", "f8", (3,)), ("quat_wxyz", "f8", (4,)),
        ("goal_error_m", "f8"), ("goal_error_rad", "f8"),
        ("q", "f8", (n,)), ("dq", "f8", (n,)), ("q_c", "f8", (n,)),
        ("overruns", "i8"), ("dropped_rows", "i8"), ("guard_passed", "i8"), ("guard_rejected", "i8"),
        ("latency_us", "f8"), ("max_latency_us", "f8"), ("chunks", "i8"), ("chunks_refused", "i8"),
        ("stops", "i8"), ("left", "i8"), ("held", "i8"), ("twin", "i8"), ("wakeups", "i8"), ("worst_wakeup_us", "f8"),
        ("late_wakeups", "i8"), ("synchronous", "i8"), ("standstill_ms", "f8"),
    )  # fmt: skip


def link_dtype(sizes: Sizes) -> np.dtype[np.void]:
    """What the transport tells about its server; `note` is one line of UTF-8, for people."""
    return _dtype(
        ("t_ns", "i8"), ("connected", "i8"), ("dials", "i8"), ("sent", "i8"), ("replies", "i8"), ("late", "i8"),
        ("note", "S240"),
    )  # fmt: skip


def log_dtype(sizes: Sizes) -> np.dtype[np.void]:
    """What the recorder tells: how many ticks could not be written."""
    return _dtype(("lost", "i8"))


def tick_dtype(sizes: Sizes) -> np.dtype[np.void]:
    """One control tick, loop to recorder.

    Times in ns, -1 where there is nothing to measure. `wakeup_ns` is the lateness of the tick, `compute_ns` runs from
    its begin to just before the write, `setpoint_age_ns` from the observation behind the set-point to that write,
    `latency_ns` from an observation packed to its chunk in the mailbox; `server_us` are the server's own queue,
    inference and total time of that chunk [µs]. `smooth_latency_ns` above `max_latency_ns`, the trained one, makes
    chunks `synchronous`. `op` is the operator's command handled in this tick, with its `answer`.
    `tau` is what the driver measured [N·m], for `robostral identify`. In torque mode `q_c` is the set-point that the
    law followed, `tau_c` the command [N·m] and `wrench` what the wrist feels [N, N·m], zeros where nothing does. An
    identified arm has `tau_ext`, the torques from outside [N·m], and the joint that feels a `contact`, -1 for none.
    """
    n = sizes.n
    torques = (("tau_c", "f8", (sizes.torques,)), ("wrench", "f8", (6,))) if sizes.torques else ()
    touch = (("contact", "i8"), ("tau_ext", "f8", (sizes.touch,))) if sizes.touch else ()
    return _dtype(
        ("t_ns", "i8"), ("tick", "i8"), ("session", "u8"), ("mode", "i8"), ("cause", "i8"), ("plant", "i8"),
        ("guard", "i8"), ("chunk_verdict", "i8"), ("written", "i8"), ("seq", "u8"), ("rung", "i8"),
        ("op", "i8"), ("answer", "i8"),
        ("wakeup_ns", "i8"), ("read_ns", "i8"), ("compute_ns", "i8"), ("write_ns", "i8"), ("overrun", "i8"),
        ("setpoint_age_ns", "i8"), ("latency_ns", "i8"), ("server_us", "i8", (3,)), ("speed", "f8"),
        ("synchronous", "i8"), ("smooth_latency_ns", "i8"), ("max_latency_ns", "i8"),
        ("q", "f8", (n,)), ("dq", "f8", (n,)), ("q_c", "f8", (n,)), ("tau", "f8", (n,)),
        ("goal", "f8", (max(sizes.external, 1),)), *torques, *touch,
    )  # fmt: skip


def _dtype(*fields: tuple[str, str] | tuple[str, str, tuple[int, ...]]) -> np.dtype[np.void]:
    """Pack fields; the end is padded to whole 8-byte words, which are what the seqlock copies."""
    packed = np.dtype(list(fields))
    spare = -packed.itemsize % 8
    return np.dtype([*fields, ("pad", "u1", (spare,))]) if spare else packed


def empty(dtype: np.dtype[np.void]) -> Record:
    """Return a zeroed record, shape ()."""
    return np.zeros((), dtype)


def words(record: Record) -> NDArray[np.int64]:
    """View a record, or an array of them, as its 8-byte words, shape (words,) or (rows, words)."""
    return record.reshape(1).view(np.int64) if record.ndim == 0 else record.view(np.int64).reshape(len(record), -1)
