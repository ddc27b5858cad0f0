"""A task in goal form: what is wanted and what is so beside the observation, and a reward of the two alone."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from robostral_sims.env import CellEnv, EnvError

POSE = 7
"""Numbers of a goal: p [m] and quat_wxyz, in `base`."""


class GoalView(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose observations hold `observation`, `achieved_goal` and `desired_goal`, for hindsight.

    The reward is the task's `compute_reward` of the two goals: sparse, and the same when it is computed again for a
    goal that was not meant. Goals are the truth, which a policy on the arm does not need: it sees `observation`.

    Args:
        env: A cell whose task has a goal form, such as PickPlace.

    Raises:
        EnvError: The task has none.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self._cell: Any = env.unwrapped
        if not isinstance(self._cell, CellEnv) or not hasattr(self._cell.task, "compute_reward"):
            raise EnvError(f"{env} has no goal form: its task has no compute_reward")
        self._task: Any = self._cell.task
        pose = spaces.Box(-10.0, 10.0, (POSE,), np.float64)
        parts = {"observation": env.observation_space, "achieved_goal": pose, "desired_goal": pose}
        self.observation_space = spaces.Dict(parts)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Begin an episode, see `CellEnv.reset`."""
        obs, info = self.env.reset(seed=seed, options=options)
        return self._seen(obs), info

    def step(self, action: Any) -> tuple[dict[str, NDArray[Any]], float, bool, bool, dict[str, Any]]:
        """Execute an action, see `CellEnv.step`."""
        obs, _, terminated, truncated, info = self.env.step(action)
        seen = self._seen(obs)
        reward = float(self.compute_reward(seen["achieved_goal"], seen["desired_goal"], info))
        return seen, reward, terminated, truncated, info

    def compute_reward(self, achieved: NDArray[Any], desired: NDArray[Any], info: Any) -> NDArray[np.float64]:
        """Return the reward of goals, shape (..., 7) both: shape (...)."""
        rewards: NDArray[np.float64] = self._task.compute_reward(achieved, desired, info)
        return rewards

    def _seen(self, obs: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        achieved, desired = self._task.goals(self._cell.truth)
        return {"observation": obs, "achieved_goal": achieved, "desired_goal": desired}
