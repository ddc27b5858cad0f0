"""The fit of an ensemble to what was watched."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from robostral_policies.config import TrainingError
from robostral_policies.surrogate.config import SurrogateConfig
from robostral_policies.surrogate.model import MOTION, Ensemble
from robostral_policies.surrogate.watched import Watched

_JUMP_M = 0.08
"""A part that moves further in a step was thrown: engines disagree about it too, and nobody learns from it."""
_SCALE = np.array([0.005] * 3 + [0.05] * 3 + [0.2] * 3 + [2.0] * 3 + [0.005, 0.1], np.float32)
"""What counts as one of each column that is told."""


def fit(
    config: SurrogateConfig, watched: Watched, bound: NDArray[np.float32], advance: Callable[[int], None]
) -> Ensemble:
    """Fit an ensemble to what was watched; each member draws its own batches.

    Args:
        config: The recipe.
        watched: What to fit to.
        bound: What nothing that is said exceeds, shape (m + 2,).
        advance: Called with the number of gradient steps that were just done.

    Raises:
        TrainingError: The loss is not finite.
    """
    rows = np.abs(watched.told[:, :MOTION]).max(1) < _JUMP_M
    seen, told = watched.seen[rows], watched.told[rows]
    ensemble = Ensemble(config, seen, told, bound)
    inputs, targets = torch.from_numpy(seen), torch.from_numpy(told)
    weights = 1.0 / (torch.from_numpy(_SCALE) * config.floor + 0.3 * targets.abs())
    for index, network in enumerate(ensemble.members):
        draw = torch.Generator().manual_seed(config.seed * 100 + index)
        optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
        rate = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, config.learning_rate, total_steps=config.steps + 1, pct_start=0.1
        )
        for _ in range(config.steps):
            batch = torch.randint(len(inputs), (config.batch,), generator=draw)
            error = (ensemble.member(index, inputs[batch]) - targets[batch]) * weights[batch]
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
