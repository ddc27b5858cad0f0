"""The fit of an ensemble to what was watched."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from robostral.contract import Contract
from robostral_policies.config import TrainingError
from robostral_policies.surrogate.config import SurrogateConfig
from robostral_policies.surrogate.model import BOXES, MOTION, Ensemble, columns
from robostral_policies.surrogate.watched import Watched

_JUMP_M = 0.08
"""A part that moves further in a step was thrown: engines disagree about it too, and nobody learns from it."""
AT_REST, CLEAR_M = 1e-3, 2e-3
"""A part slower than this [m/s; rad/s at 0.1 m] and further from the hand than that [m] stays where it is, whatever is
said; see `robostral_sims.learned`, which takes half of the second."""
_SCALE = np.array([0.005] * 3 + [0.05] * 3 + [0.2] * 3 + [2.0] * 3 + [0.005, 0.1], np.float32)
"""What counts as one of each column that is told."""
_WEIGHT = np.array([3.0] * 3 + [2.0] * 3 + [1.0] * 8, np.float32)
"""Where it is weighs more than how fast it moves there."""


def touched(contract: Contract, watched: Watched) -> NDArray[np.bool_]:
    """Say of which steps a learned simulator is asked at all: the part is in reach of the hand, or moves."""
    at, seen = columns(contract), watched.seen
    clear = np.minimum.reduce([seen[:, at[name]] for name in BOXES])
    speed = np.abs(seen[:, at["part_velocities"] : at["part_velocities"] + 6] * ([1.0] * 3 + [0.1] * 3)).max(1)
    found: NDArray[np.bool_] = (clear <= CLEAR_M) | (speed >= AT_REST)
    return found


def fit(config: SurrogateConfig, contract: Contract, watched: Watched, advance: Callable[[int], None]) -> Ensemble:
    """Fit an ensemble to what was watched; each member draws its own batches.

    Args:
        config: The recipe.
        contract: What is seen and said.
        watched: What to fit to.
        advance: Called with the number of gradient steps that were just done.

    Raises:
        TrainingError: The loss is not finite.
    """
    rows = touched(contract, watched) & (np.abs(watched.told[:, :MOTION]).max(1) < _JUMP_M)
    seen, told = watched.seen[rows], watched.told[rows]
    ensemble = Ensemble(config, contract, seen, told)
    inputs, targets = torch.from_numpy(seen), torch.from_numpy(told)
    weights = torch.from_numpy(_WEIGHT / (_SCALE * config.floor))
    for index, network in enumerate(ensemble.members):
        draw = torch.Generator().manual_seed(config.seed * 100 + index)
        optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
        rate = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, config.learning_rate, total_steps=config.steps + 1, pct_start=0.1
        )
        for _ in range(config.steps):
            batch = torch.randint(len(inputs), (config.batch,), generator=draw)
            error = (ensemble.member(index, inputs[batch]) - targets[batch]) * weights
            loss = nn.functional.huber_loss(error, torch.zeros_like(error))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            rate.step()
            advance(1)
        if not loss.isfinite():
            raise TrainingError(f"the loss of member {index} is not finite; lower learning_rate")
    return ensemble
