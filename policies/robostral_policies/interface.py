"""What an environment and an actor must agree on: sizes and bounds, from a contract or from Gymnasium's spaces."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robostral.contract import Contract
from robostral_policies.config import TrainingError


@dataclass(frozen=True)
class Interface:
    """Sizes and bounds of one environment.

    Attributes:
        groups: Name and size of each group of the observation, in order.
        low, high: Bounds of one action, shape (n,), in the unit that the actor answers in.
        horizon: Actions per answer.
        step_s: Duration of a step [s]; 1 where the environment does not say.
    """

    groups: tuple[tuple[str, int], ...]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    horizon: int
    step_s: float

    @classmethod
    def of_contract(cls, contract: Contract) -> "Interface":
        """Read a contract."""
        action = contract.action
        groups = tuple((field.name, field.size) for field in contract.obs)
        return cls(groups, np.asarray(action.low), np.asarray(action.high), action.horizon, 1 / contract.rate.policy_hz)

    @classmethod
    def of_spaces(cls, env: Any) -> "Interface":
        """Read the spaces of any Gymnasium environment: a bounded box of actions, a box or a dict of boxes seen.

        Raises:
            TrainingError: Its spaces are of another kind.
        """
        from gymnasium import spaces

        seen, does = env.observation_space, env.action_space
        boxes = dict(seen.spaces) if isinstance(seen, spaces.Dict) else {"obs": seen}
        if not all(isinstance(box, spaces.Box) for box in boxes.values()):
            raise TrainingError(f"observation space {seen} is neither a box nor a dict of boxes")
        if not isinstance(does, spaces.Box) or not does.is_bounded():
            raise TrainingError(f"action space {does} is not a bounded box")
        fps = env.metadata.get("render_fps")
        groups = tuple((name, math.prod(box.shape or ())) for name, box in boxes.items())
        low, high = does.low.ravel().astype(float), does.high.ravel().astype(float)
        return cls(groups, low, high, 1, 1.0 / fps if fps else 1.0)

    @property
    def obs_size(self) -> int:
        """How many numbers an observation holds."""
        return sum(size for _, size in self.groups)

    @property
    def chunk_shape(self) -> tuple[int, int]:
        """Shape (horizon, n) of one answer."""
        return self.horizon, len(self.low)
