"""A cell for tests of the run time: a plant that follows exactly, and a linear policy that really reaches its goals."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robostral import bundle
from robostral.arm import load_arm
from robostral.contract import Action, Contract, Device, Rate, Sealed
from robostral.driver import DriverInfo, DriverState, PlantStatus
from robostral.errors import DriverError
from robostral.kinematics.fk import tcp_kernel
from robostral.kinematics.jacobian import jacobian_kernel
from robostral.kinematics.se3 import quat_from_matrix_kernel
from robostral.oracle import count_violations
from robostral.requirements import requirements_of
from robostral.runtime import records
from robostral.runtime.lockstep import LockStep
from robostral.runtime.options import LoopOptions
from robostral.signals import obs_field

ARM = load_arm("ur5e")
N = ARM.chain.n
GAIN, BOUND, HORIZON = 0.25, 0.06, 3
OBS = ("q", "dq", "goal_position", "goal_rot6d", "goal_error")


def make_contract(max_age_s: float | None = None, **changes: Any) -> Contract:
    obs = tuple(obs_field(name, ARM.chain, max_age_s if name == "goal_position" else None) for name in OBS)
    low, high = (-BOUND,) * N, (BOUND,) * N
    fields: dict[str, Any] = {
        "task": "servo",
        "devices": (Device("arm", ARM.chain.joint_names, (1,) * N),),
        "obs": obs,
        "action": Action("joint_position_delta", low, high, "rad", "joint", HORIZON, 0.04, 0.12),
        "rate": Rate(25.0, 0.02),
    }
    return Contract(**(fields | changes))


def gain_matrix() -> NDArray[np.float32]:
    """Joint step per goal error, shape (6, n): a fixed fraction of the way, by the Jacobian at home."""
    J = np.zeros((6, N))
    jacobian_kernel(ARM.chain.model, ARM.home, J)
    return (GAIN * np.linalg.pinv(J)).T.astype(np.float32)


class Servo:
    """chunk step k = clip(error @ gain * (1 - GAIN)^k, +-BOUND): straight to goals that are not far from home."""

    def __init__(self, contract: Contract | None = None) -> None:
        self.sealed = Sealed.seal(contract or make_contract())
        self._gain = gain_matrix()
        self.calls = 0

    def infer(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        self.calls += 1
        step = obs[:, -6:] @ self._gain
        chunk = np.stack([step * (1.0 - GAIN) ** k for k in range(HORIZON)], axis=1)
        return np.clip(chunk, -BOUND, BOUND).astype(np.float32)

    def close(self) -> None:
        pass


class ExactPlant:
    """An arm that is where it was told to be one tick ago; its status is what the test says."""

    def __init__(self, rate_hz: float = 500.0, q: NDArray[np.float64] | None = None, is_twin: bool = True) -> None:
        self.info = DriverInfo("exact", "ur5e", ARM.chain.joint_names, is_twin, ("joint_position",), rate_hz)
        self.q = (ARM.home if q is None else q).copy()
        self.dq = np.zeros(N)
        self.status, self.write_status, self.arm_status = PlantStatus.OK, PlantStatus.OK, PlantStatus.OK
        self.written: list[NDArray[np.float64]] = []
        self.stops = self.connects = 0
        self.can_connect = True

    def connect(self) -> None:
        if not self.can_connect:
            raise DriverError("nobody there")
        self.connects += 1
        self.status = self.write_status = PlantStatus.OK

    def read(self, state: DriverState) -> int:
        if self.status == PlantStatus.OK:
            state.q[:], state.dq[:] = self.q, self.dq
            state.t_ns += 1
        return self.status

    def arm(self) -> int:
        return self.arm_status

    def write(self, q_c: NDArray[np.float64]) -> int:
        if self.write_status == PlantStatus.OK:
            self.dq[:] = (q_c - self.q) * self.info.rate_hz
            self.q[:] = q_c
            self.written.append(q_c.copy())
        return self.write_status

    def stop(self) -> None:
        self.stops += 1
        self.dq[:] = 0.0

    def close(self) -> None:
        pass


def tcp(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pose of the tcp as a goal: p and quat_wxyz, shape (7,)."""
    T, goal = np.eye(4), np.zeros(7)
    tcp_kernel(ARM.chain.model, q, T)
    quat_from_matrix_kernel(np.ascontiguousarray(T[:3, :3]), goal[3:])
    goal[:3] = T[:3, 3]
    return goal


def near_goal(seed: int, reach: float = 0.25) -> NDArray[np.float64]:
    """Draw a goal around home."""
    return tcp(ARM.home + np.random.default_rng(seed).uniform(-reach, reach, N))


def far_goal() -> NDArray[np.float64]:
    """A goal that keeps the arm moving fast for longer than any test looks."""
    return tcp(ARM.home + np.array([1.2, 0.0, 0.0, 0.0, 0.0, 0.0]))


def armed(
    plant: ExactPlant | None = None, policy: Any = None, options: LoopOptions | None = None
) -> tuple[LockStep, ExactPlant]:
    """Build a lock-step cell that stands armed at home."""
    plant = plant or ExactPlant()
    cell = LockStep(plant, ARM, policy or Servo(), options=options)
    cell.tick()
    assert cell.ask("rearm") == 0
    return cell, plant


def violations(rows: np.ndarray, dt: float = 0.002) -> int:
    """Judge the commands as written, in order, with a new segment where a re-arm read the pose anew."""
    written = rows[rows["written"] == 1]
    cuts = np.flatnonzero(written["session"][1:] != written["session"][:-1]) + 1
    found = count_violations(written["q_c"], dt, ARM.limits.array, [0, *cuts.tolist()])
    return sum(finding["violations"] for finding in found.values())


def mute(cell: LockStep) -> None:
    cell.mailbox.ring_bell = lambda: None


def delayed(cell: LockStep, ticks: Callable[[], int]) -> None:
    """Let every answer arrive `ticks()` control ticks after its question; order and content stay."""
    policy, waiting, now = cell.source._policy, [], [0]
    chunk = records.empty(cell.mailbox.chunk.dtype)

    def ring() -> None:
        obs = cell.mailbox.obs.take()
        if obs is not None:  # else the bell was rung a tick ahead
            waiting.append((now[0] + ticks(), obs.copy()))

    def advance() -> None:
        now[0] += 1
        while waiting and waiting[0][0] <= now[0]:
            obs = waiting.pop(0)[1]
            for name in ("session", "seq", "t_obs_ns"):
                chunk[name] = obs[name]
            chunk["chunk"] = policy.infer(obs["obs"][None])[0]
            chunk["t_arrival_ns"] = cell.clock.now_ns()
            cell.mailbox.chunk.publish(chunk)

    cell.mailbox.ring_bell = ring
    cell._advance = advance


def write_bundle(folder: Path, contract: Contract | None = None) -> Path:
    """Write the servo as an unsigned ONNX bundle."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    sealed = Sealed.seal(contract or make_contract())
    size = sealed.contract.obs_size
    weights = np.zeros((size, HORIZON * N), np.float32)
    weights[-6:] = np.concatenate([gain_matrix() * (1.0 - GAIN) ** k for k in range(HORIZON)], axis=1)
    constants = {
        "w": weights,
        "low": np.float32(-BOUND),
        "high": np.float32(BOUND),
        "shape": np.array([-1, HORIZON, N], np.int64),
    }
    nodes = [
        helper.make_node("MatMul", ["obs", "w"], ["step"]),
        helper.make_node("Clip", ["step", "low", "high"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["chunk"]),
    ]
    graph = helper.make_graph(
        nodes,
        "servo",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, ["rows", size])],
        [helper.make_tensor_value_info("chunk", TensorProto.FLOAT, ["rows", HORIZON, N])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bundle.write(
        folder,
        model=model.SerializeToString(),
        sealed=sealed,
        requirements=requirements_of(ARM, max_latency_s=0.02),
        name="servo",
        version=1,
        lineage=bundle.Lineage("Servo-v0", "none", "0" * 64, 0, "unknown", {"numpy": np.__version__}),
        metrics={"none": bundle.Success.of(1, 1)},
        parity=bundle.Parity(0.0, 1),
        cost=bundle.Cost(0, 0, 1.0, 0.0, "a test"),
        card="# servo\n",
    )
