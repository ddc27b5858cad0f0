"""Observations from state and set-points from actions: the same kernels in simulation, twin and plant.

| field | shape | unit | frame | source | meaning |
|---|---|---|---|---|---|
| `q`, `dq` | (n,) | rad, rad/s; see `joint_units` | joint | driver | measured position and velocity |
| `q_c` | (n,) | as `q` | joint | derived | last command |
| `tcp_position` | (3,) | m | base | derived | position of T_base_tcp(q) |
| `tcp_rot6d` | (6,) | 1 | base | derived | its x axis, then its y axis |
| `tcp_twist` | (6,) | m/s, rad/s | base | derived | J(q) dq: velocity of the tcp, then angular velocity |
| `goal_position` | (3,) | m | base | external | |
| `goal_rot6d` | (6,) | 1 | base | external | |
| `goal_error` | (6,) | m, rad | base | derived | p_goal - p_tcp, then the rotation vector of R_goal @ R_tcp^T |
| `goal_error_c` | (6,) | m, rad | base | derived | the same of T_base_tcp(q_c): where the last command aims |
| `part_position` | (3,) | m | base | external | |
| `part_rot6d` | (6,) | 1 | base | external | |
| `part_error` | (6,) | m, rad | base | derived | p_part - p_tcp, then the rotation vector of R_part @ R_tcp^T |
| `part_to_goal` | (6,) | m, rad | base | derived | p_goal - p_part, then the rotation vector of R_goal @ R_part^T |
| `belt` | (1,) | m/s | belt | external | speed of the conveyor |
| `tool` | (k,) | m or 1 | tool | driver | measured number of each tool: gap [m], seal 0..1 |
| `tool_c` | (k,) | m or 1 | tool | derived | its last command |
| `wrench` | (6,) | N, N·m | base | driver | what acts on the tool, at the tcp, but its own weight |

External signals are one vector: the goal (7) if a field speaks of it, then the part (7), then the belt (1). A goal or a
part is a position [m] and quat_wxyz, in `base`. Sensors beyond the joints are another: `tool` (k), `tool_c` (k) and
`wrench` (6), each where the contract has it, in this order.
"""

import math
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robostral.arm.chain import EXTRA_ROWS, Chain
from robostral.contract import Contract, ObsField
from robostral.control.knots import knots_kernel, pose_knots_kernel
from robostral.errors import ContractMismatch, UnknownName
from robostral.jit import kernel
from robostral.kinematics.codes import BAD_SHAPE, NOT_FINITE, OK
from robostral.kinematics.fk import tcp_pose_kernel
from robostral.kinematics.jacobian import pose_jacobian_kernel
from robostral.kinematics.lm import ik_workspace
from robostral.kinematics.se3 import rotvec_from_rows_kernel, rows_from_quat_kernel

FloatArray = NDArray[np.float64]

Q, DQ, Q_C, TCP_POSITION, TCP_ROT6D, TCP_TWIST = range(6)
GOAL_POSITION, GOAL_ROT6D, GOAL_ERROR, GOAL_ERROR_C = range(6, 10)
PART_POSITION, PART_ROT6D, PART_ERROR, PART_TO_GOAL, BELT = range(10, 15)
TOOL, TOOL_C, WRENCH = range(15, 18)
POSE_SIZE = GOAL_SIZE = 7


class Definition(NamedTuple):
    """What a field of this name always means; size 0 stands for the number of joints, -1 for that of tools."""

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
    "tcp_twist": Definition(TCP_TWIST, 6, "m/s, rad/s", "base", "derived"),
    "goal_position": Definition(GOAL_POSITION, 3, "m", "base", "external"),
    "goal_rot6d": Definition(GOAL_ROT6D, 6, "1", "base", "external"),
    "goal_error": Definition(GOAL_ERROR, 6, "m, rad", "base", "derived"),
    "goal_error_c": Definition(GOAL_ERROR_C, 6, "m, rad", "base", "derived"),
    "part_position": Definition(PART_POSITION, 3, "m", "base", "external"),
    "part_rot6d": Definition(PART_ROT6D, 6, "1", "base", "external"),
    "part_error": Definition(PART_ERROR, 6, "m, rad", "base", "derived"),
    "part_to_goal": Definition(PART_TO_GOAL, 6, "m, rad", "base", "derived"),
    "belt": Definition(BELT, 1, "m/s", "belt", "external"),
    "tool": Definition(TOOL, -1, "m or 1", "tool", "driver"),
    "tool_c": Definition(TOOL_C, -1, "m or 1", "tool", "derived"),
    "wrench": Definition(WRENCH, 6, "N, N·m", "base", "driver"),
}
_OF_GOAL = (GOAL_POSITION, GOAL_ROT6D, GOAL_ERROR, GOAL_ERROR_C, PART_TO_GOAL)
_OF_PART = (PART_POSITION, PART_ROT6D, PART_ERROR, PART_TO_GOAL)
TOOLS = ("gap", "suction")
"""What a device besides the arm may be commanded by."""
_NONE: FloatArray = np.empty(0)


def joint_units(chain: Chain) -> str:
    """Return the unit of the joints' positions: one if it is the same for all, else one per joint: "m, rad, m"."""
    return ", ".join(chain.units if len(set(chain.units)) > 1 else chain.units[:1])


def obs_field(name: str, chain: Chain, max_age_s: float | None = None, *, tools: int = 1) -> ObsField:
    """Write the contract's field of this name for an arm with `tools` tools.

    Raises:
        UnknownName: No signal has this name.
    """
    if name not in FIELDS:
        raise UnknownName("obs field", name, FIELDS)
    _, size, unit, frame, source = FIELDS[name]
    if frame == "joint":
        unit = ", ".join(unit.replace("rad", of_joint) for of_joint in joint_units(chain).split(", "))
    return ObsField(name, ({0: chain.n, -1: tools}.get(size, size),), unit, frame, source, max_age_s=max_age_s)


@kernel
def observe_kernel(
    plan: NDArray[np.int64],
    model: FloatArray,
    q: FloatArray,
    dq: FloatArray,
    q_c: FloatArray,
    external: FloatArray,
    sensors: FloatArray,
    J: FloatArray,
    out: NDArray[np.float32],
) -> int:
    """Fill one observation.

    Args:
        plan: `Signals.plan`, rows (signal, start, stop, first number it reads of `external` or `sensors`).
        model: `Chain.model`.
        q: Measured positions [rad], shape (n,).
        dq: Measured velocities [rad/s], shape (n,).
        q_c: Last command [rad], shape (n,).
        external: External signals, shape (external_size,).
        sensors: Sensors beyond the joints, shape (sensor_size,).
        J: Work space, shape (6, n).
        out: Filled with the observation, shape (obs_size,).

    Returns:
        OK; BAD_SHAPE, and nothing was written; NOT_FINITE if an input or what was made of it is no number.

    Note:
        Real-time: no allocation.
    """
    n = model.shape[0] - EXTRA_ROWS
    if q.shape[0] != n or dq.shape[0] != n or q_c.shape[0] != n or out.shape[0] != plan[-1, 2]:
        return BAD_SHAPE
    if not _reads_fit(plan, external.shape[0], sensors.shape[0]):
        return BAD_SHAPE
    R, p = pose_jacobian_kernel(model, q, J)
    return describe_kernel(plan, model, R + p, twist_kernel(J, dq), q, dq, q_c, external, sensors, out)


@kernel
def describe_kernel(
    plan: NDArray[np.int64],
    model: FloatArray,
    tcp: Any,
    twist: Any,
    q: FloatArray,
    dq: FloatArray,
    q_c: FloatArray,
    external: FloatArray,
    sensors: FloatArray,
    out: NDArray[np.float32],
) -> int:
    """Fill one observation from what is known of the tcp, nine numbers of its rotation and three of p, and its twist.

    The others are those of `observe_kernel`, of shapes that fit; returns OK or NOT_FINITE.
    """
    n = q.shape[0]
    for row in range(plan.shape[0]):
        signal, at, reads = plan[row, 0], plan[row, 1], plan[row, 3]
        if signal == Q:
            _copy_kernel(q, 0, n, out, at)
        elif signal == DQ:
            _copy_kernel(dq, 0, n, out, at)
        elif signal == Q_C:
            _copy_kernel(q_c, 0, n, out, at)
        elif signal == TCP_POSITION:
            out[at], out[at + 1], out[at + 2] = tcp[9], tcp[10], tcp[11]
        elif signal == TCP_ROT6D:
            _rot6d_kernel(_rotation(tcp), out, at)
        elif signal == TCP_TWIST:
            for i in range(6):
                out[at + i] = twist[i]
        elif signal == GOAL_ERROR_C:
            _error_kernel(_pose(external, reads), tcp_pose_kernel(model, q_c), out, at)
        elif signal < TOOL:
            _external_kernel(signal, external, reads, tcp, out, at)
        else:
            _copy_kernel(sensors, reads, plan[row, 2] - at, out, at)
    for i in range(out.shape[0]):
        if not math.isfinite(out[i]):
            return NOT_FINITE
    return OK


@kernel
def _reads_fit(plan: NDArray[np.int64], external_size: int, sensor_size: int) -> bool:
    """Tell whether every row of the plan reads numbers that there are."""
    for row in range(plan.shape[0]):
        signal, reads = plan[row, 0], plan[row, 3]
        if signal >= TOOL and sensor_size < reads + plan[row, 2] - plan[row, 1]:
            return False
        if GOAL_POSITION <= signal < TOOL and external_size < reads + (1 if signal == BELT else POSE_SIZE):
            return False
    return True


@kernel
def _external_kernel(
    signal: int, external: FloatArray, reads: int, tcp: Any, out: NDArray[np.float32], at: int
) -> None:
    """Write a signal that comes from outside, and where it stands to the tcp."""
    if signal in (GOAL_POSITION, PART_POSITION):
        _copy_kernel(external, reads, 3, out, at)
    elif signal in (GOAL_ROT6D, PART_ROT6D):
        _rot6d_kernel(_pose_rows(external, reads), out, at)
    elif signal in (GOAL_ERROR, PART_ERROR):
        _error_kernel(_pose(external, reads), tcp, out, at)
    elif signal == PART_TO_GOAL:
        _error_kernel(_pose(external, 0), _pose(external, reads), out, at)
    else:
        out[at] = external[reads]


@kernel
def _copy_kernel(values: FloatArray, first: int, count: int, out: NDArray[np.float32], at: int) -> None:
    for i in range(count):
        out[at + i] = values[first + i]


@kernel
def _rotation(pose: Any) -> Any:
    return pose[0], pose[1], pose[2], pose[3], pose[4], pose[5], pose[6], pose[7], pose[8]


@kernel
def _pose_rows(external: FloatArray, at: int) -> Any:
    return rows_from_quat_kernel(external[at + 3], external[at + 4], external[at + 5], external[at + 6])


@kernel
def _pose(external: FloatArray, at: int) -> Any:
    """Return a pose of the external vector as `tcp_pose_kernel` returns one: nine of the rotation, three of p."""
    r0, r1, r2, r3, r4, r5, r6, r7, r8 = _pose_rows(external, at)
    return r0, r1, r2, r3, r4, r5, r6, r7, r8, external[at], external[at + 1], external[at + 2]


@kernel
def _rot6d_kernel(rows: Any, out: NDArray[np.float32], at: int) -> None:
    out[at], out[at + 1], out[at + 2] = rows[0], rows[3], rows[6]
    out[at + 3], out[at + 4], out[at + 5] = rows[1], rows[4], rows[7]


@kernel
def twist_kernel(J: FloatArray, dq: FloatArray) -> tuple[float, float, float, float, float, float]:
    """Compute J dq in registers: velocity of the tcp [m/s], then angular velocity [rad/s]."""
    x, y, z, a, b, c = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(dq.shape[0]):
        x, y, z = x + J[0, k] * dq[k], y + J[1, k] * dq[k], z + J[2, k] * dq[k]
        a, b, c = a + J[3, k] * dq[k], b + J[4, k] * dq[k], c + J[5, k] * dq[k]
    return x, y, z, a, b, c


@kernel
def _error_kernel(wanted: Any, here: Any, out: NDArray[np.float32], at: int) -> None:
    """Write p_wanted - p_here and the rotation vector of R_wanted @ R_here^T."""
    t0, t1, t2, t3, t4, t5, t6, t7, t8 = _rotation(here)
    g0, g1, g2, g3, g4, g5, g6, g7, g8 = _rotation(wanted)
    rotvec = rotvec_from_rows_kernel(
        (
            g0 * t0 + g1 * t1 + g2 * t2, g0 * t3 + g1 * t4 + g2 * t5, g0 * t6 + g1 * t7 + g2 * t8,
            g3 * t0 + g4 * t1 + g5 * t2, g3 * t3 + g4 * t4 + g5 * t5, g3 * t6 + g4 * t7 + g5 * t8,
            g6 * t0 + g7 * t1 + g8 * t2, g6 * t3 + g7 * t4 + g8 * t5, g6 * t6 + g7 * t7 + g8 * t8,
        )
    )  # fmt: skip
    out[at], out[at + 1], out[at + 2] = wanted[9] - here[9], wanted[10] - here[10], wanted[11] - here[11]
    out[at + 3], out[at + 4], out[at + 5] = rotvec


class Signals:
    """The kernels, compiled for one contract and one arm.

    Args:
        contract: What the policy sees and does.
        chain: The arm that it sees and moves, with the tcp that it moves.

    Attributes:
        obs_size: Numbers in an observation.
        external_size: External signals that it needs.
        sensor_size: Numbers of the sensors beyond the joints.
        tools: How many tools it commands.
        plan: First argument of `observe_kernel`.
        bounds: Lower and upper bound of the action, shape (2, numbers of an action).
        scale: Second argument of `knots_kernel`.

    Raises:
        UnknownName: A field of the observation is not in this module's table.
        ContractMismatch: Joints, a field or the action are not what this arm and this module have.
    """

    def __init__(self, contract: Contract, chain: Chain) -> None:
        _check_joints(contract, chain)
        _check_fields(contract, chain)
        _check_action(contract, chain.n)
        action, n = contract.action, chain.n
        self.tools, self.obs_size = len(contract.tools), contract.obs_size
        self.plan, self.external_size, self.sensor_size = _plan(contract, self.tools)
        self.bounds: FloatArray = np.array([action.low, action.high])
        self._tool_bounds = list(zip(action.low, action.high, strict=True))[len(action.low) - self.tools :]
        self.scale = action.dt_s if action.kind == "joint_velocity" else 1.0
        self._model, self._of_tcp = chain.model, action.kind == "tcp_pose_delta"
        self._posture: FloatArray = np.array(action.posture, dtype=np.float64)
        self._J: FloatArray = np.zeros((6, n))
        self._work = np.zeros((4, 4)), np.zeros((6, 3)), ik_workspace(chain)

    def observe(
        self,
        q: FloatArray,
        dq: FloatArray,
        q_c: FloatArray,
        external: FloatArray,
        out: NDArray[np.float32],
        sensors: FloatArray = _NONE,
    ) -> int:
        """Fill one observation, see `observe_kernel`."""
        return observe_kernel(self.plan, self._model, q, dq, q_c, external, sensors, self._J, out)

    def knots(self, chunk: NDArray[np.float32], q_seam: FloatArray, out: FloatArray) -> int:
        """Accumulate a chunk into joint set-points, see `knots_kernel` and `pose_knots_kernel`."""
        if self._of_tcp:
            return pose_knots_kernel(self._model, self.bounds, self._posture, chunk, q_seam, *self._work, out)
        return knots_kernel(self.bounds, self.scale, chunk, q_seam, out)

    def tool_set_points(self, row: NDArray[np.float32]) -> list[float]:
        """Return the set-points of the tools inside their bounds, of a chunk's row, shape (actions,)."""
        asked = row[len(row) - self.tools :].tolist()
        return [min(max(x, low), high) for x, (low, high) in zip(asked, self._tool_bounds, strict=True)]


def _plan(contract: Contract, tools: int) -> tuple[NDArray[np.int64], int, int]:
    """Lay out the observation; return `Signals.plan`, `external_size` and `sensor_size`."""
    signals = [FIELDS[field.name].signal for field in contract.obs]
    starts = dict.fromkeys(range(TOOL_C + 2), 0)
    part = POSE_SIZE * any(signal in _OF_GOAL for signal in signals)
    belt = part + POSE_SIZE * any(signal in _OF_PART for signal in signals)
    tool_c = tools * (TOOL in signals)
    wrench = tool_c + tools * (TOOL_C in signals)
    starts |= dict.fromkeys(_OF_PART, part) | {BELT: belt, TOOL_C: tool_c, WRENCH: wrench}
    stops = np.cumsum([field.size for field in contract.obs])
    rows = zip(signals, contract.obs, stops, strict=True)
    plan = np.array([(signal, stop - field.size, stop, starts[signal]) for signal, field, stop in rows], np.int64)
    return plan, belt + (BELT in signals), wrench + 6 * (WRENCH in signals)


def _check_joints(contract: Contract, chain: Chain) -> None:
    first = contract.devices[0]
    lines: list[str] = []
    for device in contract.devices[1:]:
        lines += [
            f"device '{device.name}' has '{tool}', none of {TOOLS}" for tool in device.joints if tool not in TOOLS
        ]
    if first.joints != chain.joint_names:
        lines.append(f"joint order [{', '.join(first.joints)}] != [{', '.join(chain.joint_names)}]")
    turned = (
        joint
        for device in contract.devices
        for joint, sign in zip(device.joints, device.signs, strict=True)
        if sign < 0
    )
    lines += [f"joint '{joint}' turns the other way" for joint in turned]
    if lines:
        raise ContractMismatch("the policy", "the arm", lines)


def _check_fields(contract: Contract, chain: Chain) -> None:
    lines, tools = [], len(contract.tools)
    for field in contract.obs:
        known = obs_field(field.name, chain, field.max_age_s, tools=tools or 1)
        if field.name in ("tool", "tool_c") and not tools:
            lines.append(f"obs.{field.name}: no device but the arm is named")
        for part in ("shape", "unit", "frame", "source", "dtype"):
            found, wanted = getattr(field, part), getattr(known, part)
            if found != wanted:
                lines.append(f"obs.{field.name}.{part}: {found} != {wanted}")
    if lines:
        raise ContractMismatch("the policy", "the signals of this release", lines)


def _check_action(contract: Contract, n: int) -> None:
    action, known = contract.action, ("joint_position_delta", "joint_velocity", "tcp_pose_delta")
    of_tcp, tools = action.kind == "tcp_pose_delta", len(contract.tools)
    lines = [] if action.kind in known else [f"action.kind: {action.kind} is none of {', '.join(known)}"]
    if len(action.low) != (6 if of_tcp else n) + tools:
        needed = "6 of the tcp" if of_tcp else f"{n} joints"
        lines.append(f"action: {len(action.low)} numbers for {needed} and {tools} tools")
    if len(action.posture) != (n if of_tcp else 0):
        lines.append(f"action.posture: {len(action.posture)} numbers for {n if of_tcp else 0} joints")
    if lines:
        raise ContractMismatch("the policy", "the signals of this release", lines)
