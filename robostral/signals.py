"""Observations from state and set-points from actions: the same two kernels in simulation, twin and plant.

| field | shape | unit | frame | source | meaning |
|---|---|---|---|---|---|
| `q`, `dq` | (n,) | rad, rad/s | joint | driver | measured position and velocity |
| `q_c` | (n,) | rad | joint | derived | last command |
| `tcp_position` | (3,) | m | base | derived | position of T_base_tcp(q) |
| `tcp_rot6d` | (6,) | 1 | base | derived | its x axis, then its y axis |
| `goal_position` | (3,) | m | base | external | |
| `goal_rot6d` | (6,) | 1 | base | external | |
| `goal_error` | (6,) | m, rad | base | derived | p_goal - p_tcp, then the rotation vector of R_goal @ R_tcp^T |

External signals of a goal are 7 numbers: position [m] and quat_wxyz, in `base`.
"""

import math
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robostral.arm.chain import EXTRA_ROWS, Chain
from robostral.contract import Contract, ObsField
from robostral.errors import ContractMismatch, UnknownName
from robostral.jit import kernel
from robostral.kinematics.codes import BAD_SHAPE, NOT_FINITE, OK
from robostral.kinematics.fk import tcp_pose_kernel
from robostral.kinematics.se3 import rotvec_from_rows_kernel, rows_from_quat_kernel

FloatArray = NDArray[np.float64]

Q, DQ, Q_C, TCP_POSITION, TCP_ROT6D, GOAL_POSITION, GOAL_ROT6D, GOAL_ERROR = range(8)
GOAL_SIZE = 7


class Definition(NamedTuple):
    """What a field of this name always means; size 0 stands for the number of joints."""

    signal: int
    size: int
    unit: str
    frame: str
    source: Literal["driver", "external", "derived"]


FIELDS = {
    "q": Definition(Q, 0, "rad", "joint", "driver"),
    "dq": Definition(DQ, 0, "rad/s", "joint", "driver"),
    "q_c": Definition(Q_C, 0, "rad", "joint", "derived"),
    "tcp_position": Definition(TCP_POSITION, 3, "m", "base", "derived"),
    "tcp_rot6d": Definition(TCP_ROT6D, 6, "1", "base", "derived"),
    "goal_position": Definition(GOAL_POSITION, 3, "m", "base", "external"),
    "goal_rot6d": Definition(GOAL_ROT6D, 6, "1", "base", "external"),
    "goal_error": Definition(GOAL_ERROR, 6, "m, rad", "base", "derived"),
}


def obs_field(name: str, n: int, max_age_s: float | None = None) -> ObsField:
    """Write the contract's field of this name for an arm of `n` joints.

    Raises:
        UnknownName: No signal has this name.
    """
    if name not in FIELDS:
        raise UnknownName("obs field", name, FIELDS)
    _, size, unit, frame, source = FIELDS[name]
    return ObsField(name, (size or n,), unit, frame, source, max_age_s=max_age_s)


@kernel
def observe_kernel(
    plan: NDArray[np.int64],
    model: FloatArray,
    q: FloatArray,
    dq: FloatArray,
    q_c: FloatArray,
    external: FloatArray,
    out: NDArray[np.float32],
) -> int:
    """Fill one observation.

    Args:
        plan: `Signals.plan`, rows (signal, start, stop).
        model: `Chain.model`.
        q: Measured positions [rad], shape (n,).
        dq: Measured velocities [rad/s], shape (n,).
        q_c: Last command [rad], shape (n,).
        external: External signals, shape (external_size,).
        out: Filled with the observation, shape (obs_size,).

    Returns:
        OK; BAD_SHAPE, and nothing was written; NOT_FINITE if an input or what was made of it is no number.

    Note:
        Real-time: no allocation.
    """
    n = model.shape[0] - EXTRA_ROWS
    if q.shape[0] != n or dq.shape[0] != n or q_c.shape[0] != n or out.shape[0] != plan[-1, 2]:
        return BAD_SHAPE
    last = 0
    for row in range(plan.shape[0]):
        last = max(last, plan[row, 0])
    if last >= GOAL_POSITION and external.shape[0] < GOAL_SIZE:
        return BAD_SHAPE
    tcp = tcp_pose_kernel(model, q)
    for row in range(plan.shape[0]):
        signal, at = plan[row, 0], plan[row, 1]
        if signal == Q:
            _copy_kernel(q, out, at)
        elif signal == DQ:
            _copy_kernel(dq, out, at)
        elif signal == Q_C:
            _copy_kernel(q_c, out, at)
        elif signal == TCP_POSITION:
            out[at], out[at + 1], out[at + 2] = tcp[9], tcp[10], tcp[11]
        elif signal == TCP_ROT6D:
            _rot6d_kernel((tcp[0], tcp[1], tcp[2], tcp[3], tcp[4], tcp[5], tcp[6], tcp[7], tcp[8]), out, at)
        elif signal == GOAL_POSITION:
            out[at], out[at + 1], out[at + 2] = external[0], external[1], external[2]
        elif signal == GOAL_ROT6D:
            _rot6d_kernel(rows_from_quat_kernel(external[3], external[4], external[5], external[6]), out, at)
        else:
            _goal_error_kernel(tcp, external, out, at)
    for i in range(out.shape[0]):
        if not math.isfinite(out[i]):
            return NOT_FINITE
    return OK


@kernel
def _copy_kernel(values: FloatArray, out: NDArray[np.float32], at: int) -> None:
    for i in range(values.shape[0]):
        out[at + i] = values[i]


@kernel
def _rot6d_kernel(rows: Any, out: NDArray[np.float32], at: int) -> None:
    out[at], out[at + 1], out[at + 2] = rows[0], rows[3], rows[6]
    out[at + 3], out[at + 4], out[at + 5] = rows[1], rows[4], rows[7]


@kernel
def _goal_error_kernel(tcp: Any, external: FloatArray, out: NDArray[np.float32], at: int) -> None:
    t0, t1, t2, t3, t4, t5, t6, t7, t8 = tcp[0], tcp[1], tcp[2], tcp[3], tcp[4], tcp[5], tcp[6], tcp[7], tcp[8]
    g0, g1, g2, g3, g4, g5, g6, g7, g8 = rows_from_quat_kernel(external[3], external[4], external[5], external[6])
    rotvec = rotvec_from_rows_kernel(
        (
            g0 * t0 + g1 * t1 + g2 * t2, g0 * t3 + g1 * t4 + g2 * t5, g0 * t6 + g1 * t7 + g2 * t8,
            g3 * t0 + g4 * t1 + g5 * t2, g3 * t3 + g4 * t4 + g5 * t5, g3 * t6 + g4 * t7 + g5 * t8,
            g6 * t0 + g7 * t1 + g8 * t2, g6 * t3 + g7 * t4 + g8 * t5, g6 * t6 + g7 * t7 + g8 * t8,
        )
    )  # fmt: skip
    out[at], out[at + 1], out[at + 2] = external[0] - tcp[9], external[1] - tcp[10], external[2] - tcp[11]
    out[at + 3], out[at + 4], out[at + 5] = rotvec


@kernel
def knots_kernel(
    bounds: FloatArray, scale: float, chunk: NDArray[np.float32], q_seam: FloatArray, out: FloatArray
) -> int:
    """Accumulate a chunk into set-points at the end of each of its steps.

    Args:
        bounds: `Signals.bounds`, lower and upper bound of the action, shape (2, n).
        scale: `Signals.scale`: 1 for position deltas, the chunk step [s] for velocities.
        chunk: Action chunk, shape (horizon, n).
        q_seam: Set-point consumed at the seam [rad], shape (n,).
        out: Filled with set-points [rad], shape (horizon, n).

    Returns:
        OK; BAD_SHAPE, and nothing was written; NOT_FINITE if the chunk or the seam holds no number, and then so does
        `out` from there on.

    Note:
        Real-time: no allocation.
    """
    horizon, n = out.shape
    if chunk.shape[0] != horizon or chunk.shape[1] != n or q_seam.shape[0] != n or bounds.shape[1] != n:
        return BAD_SHAPE
    code = OK
    for j in range(n):
        q = q_seam[j]
        for step in range(horizon):
            action = float(chunk[step, j])
            # An infinity must not be clipped into a number.
            action = min(max(action, bounds[0, j]), bounds[1, j]) if math.isfinite(action) else math.nan
            q += scale * action
            out[step, j] = q
        if not math.isfinite(q):
            code = NOT_FINITE
    return code


class Signals:
    """The two kernels, compiled for one contract and one arm.

    Args:
        contract: What the policy sees and does.
        chain: The arm that it sees and moves.

    Attributes:
        obs_size: Numbers in an observation.
        external_size: External signals that it needs, 0 or 7.
        plan: Rows (signal, start, stop), first argument of `observe_kernel`.
        bounds: Lower and upper bound of the action, shape (2, n), first argument of `knots_kernel`.
        scale: Second argument of `knots_kernel`.

    Raises:
        UnknownName: A field of the observation is not in this module's table.
        ContractMismatch: Joints, a field or the action are not what this arm and this module have.
    """

    def __init__(self, contract: Contract, chain: Chain) -> None:
        _check_joints(contract, chain)
        _check_fields(contract, chain.n)
        _check_action(contract, chain.n)
        stops = np.cumsum([field.size for field in contract.obs])
        rows = [(FIELDS[f.name].signal, stop - f.size, stop) for f, stop in zip(contract.obs, stops, strict=True)]
        self.plan: NDArray[np.int64] = np.array(rows, dtype=np.int64)
        self.obs_size = contract.obs_size
        self.external_size = GOAL_SIZE if max(row[0] for row in rows) >= GOAL_POSITION else 0
        self.bounds: FloatArray = np.array([contract.action.low, contract.action.high])
        self.scale = contract.action.dt_s if contract.action.kind == "joint_velocity" else 1.0
        self._model = chain.model

    def observe(
        self, q: FloatArray, dq: FloatArray, q_c: FloatArray, external: FloatArray, out: NDArray[np.float32]
    ) -> int:
        """Fill one observation, see `observe_kernel`."""
        return observe_kernel(self.plan, self._model, q, dq, q_c, external, out)

    def knots(self, chunk: NDArray[np.float32], q_seam: FloatArray, out: FloatArray) -> int:
        """Accumulate a chunk into set-points, see `knots_kernel`."""
        return knots_kernel(self.bounds, self.scale, chunk, q_seam, out)


def _check_joints(contract: Contract, chain: Chain) -> None:
    lines: list[str] = []
    if len(contract.devices) != 1:
        lines.append(f"devices {[device.name for device in contract.devices]}, here is one arm")
    joints = contract.devices[0].joints
    if joints != chain.joint_names:
        lines.append(f"joint order [{', '.join(joints)}] != [{', '.join(chain.joint_names)}]")
    turned = (joint for joint, sign in zip(joints, contract.devices[0].signs, strict=True) if sign < 0)
    lines += [f"joint '{joint}' turns the other way" for joint in turned]
    if lines:
        raise ContractMismatch("the policy", "the arm", lines)


def _check_fields(contract: Contract, n: int) -> None:
    lines = []
    for field in contract.obs:
        known = obs_field(field.name, n, field.max_age_s)
        for part in ("shape", "unit", "frame", "source", "dtype"):
            found, wanted = getattr(field, part), getattr(known, part)
            if found != wanted:
                lines.append(f"obs.{field.name}.{part}: {found} != {wanted}")
    if lines:
        raise ContractMismatch("the policy", "the signals of this release", lines)


def _check_action(contract: Contract, n: int) -> None:
    action, known = contract.action, ("joint_position_delta", "joint_velocity")
    lines = [] if action.kind in known else [f"action.kind: {action.kind} is none of {', '.join(known)}"]
    if len(action.low) != n:
        lines.append(f"action: {len(action.low)} numbers for {n} joints")
    if lines:
        raise ContractMismatch("the policy", "the signals of this release", lines)
