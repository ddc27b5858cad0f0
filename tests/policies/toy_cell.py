"""A cell of two joints without physics: what training asks of an environment, small enough to learn in seconds."""

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from robostral.contract import Action, Contract, Device, ObsField, Rate, Requirements, Sealed

ID = "toy_cell:Toy-v0"
BOUND = 0.1


class ToyCell(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    def __init__(self, nan_after: int = 0) -> None:
        self.nan_after = nan_after
        contract = Contract(
            task="toy",
            devices=(Device("arm", ("a", "b"), (1, 1)),),
            obs=(
                ObsField("q", (2,), "rad", "base", "driver"),
                ObsField("goal", (2,), "rad", "base", "external"),
                ObsField("error", (2,), "rad", "base", "derived"),
            ),
            action=Action("joint_position_delta", (-BOUND,) * 2, (BOUND,) * 2, "rad", "base", 3, 0.04, 0.12),
            rate=Rate(25.0, 0.0),
        )
        self.sealed = Sealed.seal(contract)
        self.requirements = Requirements(
            control_hz=(100.0, 1000.0),
            command_modes=("joint_position",),
            arm="toy",
            kinematics_sha256="0" * 64,
            kinematics_tolerance_mm=1.0,
            kinematics_tolerance_mrad=1.0,
            limits=((1.0, 1.0),),
            max_latency_s=0.1,
        )
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (6,))
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, contract.chunk_shape)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self.q, self.goal = self.np_random.uniform(-1.0, 1.0, (2, 2))
        self.steps, self.drift = 0, (options or {}).get("plant", {}).get("drift", 0.0)
        return self.obs(), {"success": False}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        self.q = self.q + BOUND * np.clip(action.astype(float)[0], -1.0, 1.0) + self.drift
        self.steps += 1
        success = bool(np.abs(self.goal - self.q).max() < 0.01)
        reason = "success" if success else "time limit"
        reward = np.nan if self.steps == self.nan_after else -float(np.linalg.norm(self.goal - self.q))
        return self.obs(), reward, success, self.steps >= 40, {"success": success, "reason": reason}

    def to_action(self, chunk: NDArray[np.float64]) -> NDArray[np.float32]:
        return (chunk / BOUND).astype(np.float32)

    def obs(self) -> NDArray[np.float32]:
        return np.concatenate([self.q, self.goal, self.goal - self.q]).astype(np.float32)

    def expert(self, obs: NDArray[np.float32]) -> NDArray[np.float64]:
        left, chunk = obs[..., 4:].astype(float), np.zeros((*obs.shape[:-1], 3, 2))
        for step in range(3):
            chunk[..., step, :] = np.clip(0.5 * left, -BOUND, BOUND)
            left = left - chunk[..., step, :]
        return chunk


gymnasium.register("Toy-v0", entry_point=ToyCell)


class Foreign(gymnasium.Env[dict[str, NDArray[np.float32]], NDArray[np.float32]]):
    """Somebody else's environment: a goal, no contract, no expert."""

    metadata = {"render_modes": [], "render_fps": 20}  # noqa: RUF012 - Gymnasium declares it so

    def __init__(self) -> None:
        point = gymnasium.spaces.Box(-2.0, 2.0, (2,), np.float32)
        groups = {"observation": point, "achieved_goal": point, "desired_goal": point}
        self.observation_space = gymnasium.spaces.Dict(groups)  # which sorts them
        self.action_space = gymnasium.spaces.Box(-0.5, 0.5, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.p, self.goal = self.np_random.uniform(-1.0, 1.0, (2, 2)).astype(np.float32)
        self.steps = 0
        return self.seen(), {}

    def step(self, action: NDArray[np.float32]) -> Any:
        self.p = np.clip(self.p + action, -2.0, 2.0).astype(np.float32)
        self.steps += 1
        reward = float(self.compute_reward(self.p, self.goal, {}))
        return self.seen(), reward, False, self.steps >= 10, {"is_success": reward == 0.0}

    def compute_reward(self, achieved: NDArray[np.float32], desired: NDArray[np.float32], info: Any) -> Any:
        return -(np.linalg.norm(achieved - desired, axis=-1) > 0.2).astype(np.float32)

    def seen(self) -> dict[str, NDArray[np.float32]]:
        return {"observation": self.p.copy(), "desired_goal": self.goal.copy(), "achieved_goal": self.p.copy()}


gymnasium.register("Foreign-v0", entry_point=Foreign)
