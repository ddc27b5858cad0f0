"""Imitation by data set aggregation: the network drives, the expert labels what it meets, the network learns.

Note:
    S. Ross, G. Gordon, D. Bagnell, "A Reduction of Imitation Learning and Structured Prediction to No-Regret Online
    Learning", AISTATS 2011. The disturbance of the driven action follows M. Laskey et al., "DART: Noise Injection for
    Robust Imitation Learning", CoRL 2017.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robostral_policies.actor import Actor
from robostral_policies.config import MAX_SEED, DaggerConfig, FitConfig, TrainConfig, TrainingError
from robostral_policies.rollout import Episode, Plan

Advance = Callable[[int], None]
"""Called with the number of units of work that were just done."""

MAX_ROUNDS = 1 << 10
"""Keeps the streams of the fits of two trainings apart."""

_MARKS = 20


@dataclass(frozen=True)
class Samples:
    """Labelled observations: obs (rows, obs_size), labels (rows, horizon, n), float32."""

    obs: NDArray[np.float32]
    labels: NDArray[np.float32]

    @classmethod
    def of(cls, episodes: list[Episode]) -> "Samples":
        """Join the steps of episodes, in order."""
        return cls(np.concatenate([e.obs for e in episodes]), np.concatenate([e.labels for e in episodes]))

    @classmethod
    def join(cls, parts: list["Samples"]) -> "Samples":
        """Join several sets, in order."""
        return cls(np.concatenate([p.obs for p in parts]), np.concatenate([p.labels for p in parts]))


def episode_seeds(config: TrainConfig, round_: int) -> list[int]:
    """List the seeds of a round's episodes; no two rounds and no two trainings share one, and all are below 2 ** 40.

    Raises:
        TrainingError: More rounds or episodes than a training has seeds for.
    """
    if config.dagger.rounds > MAX_ROUNDS or config.dagger.rounds * config.dagger.episodes > MAX_SEED:
        raise TrainingError(f"dagger: at most {MAX_ROUNDS} rounds and {MAX_SEED} episodes in all")
    first = config.seed * MAX_SEED + round_ * config.dagger.episodes
    return list(range(first, first + config.dagger.episodes))


def plan(config: DaggerConfig, round_: int, model: bytes) -> Plan:
    """Say who drives in a round: the expert in the first, then more and more the model."""
    if round_ == 0:
        return Plan("expert", label=True, noisy=config.noisy, noise=config.noise)
    beta = config.beta**round_
    return Plan("model", model, label=True, beta=beta, turn=config.turn, noisy=config.noisy, noise=config.noise)


def fit(
    actor: Actor, samples: Samples, config: FitConfig, steps: int, seed: int, advance: Advance, device: str = "cpu"
) -> list[float]:
    """Fit the network to labelled observations with Adam and a one-cycle schedule.

    Args:
        actor: Trained in place.
        samples: What to learn from.
        config: Batch, learning rate, and the floor of the relative error.
        steps: Gradient steps.
        seed: Draws the batches.
        advance: Hears of every step.
        device: Where torch computes; the network is on the CPU before and after.

    Returns:
        Mean loss of each twentieth of the steps.

    Raises:
        TrainingError: The loss is not finite.
    """
    actor.to(device)
    obs, labels = torch.from_numpy(samples.obs).to(device), torch.from_numpy(samples.labels).to(device)
    weights = _weights(actor, labels, config.floor)
    draw = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(actor.parameters(), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=steps + 1, pct_start=0.1
    )
    losses = torch.zeros(steps)
    for step in range(steps):
        rows = torch.randint(len(obs), (config.batch,), generator=draw).to(device)
        loss = (((actor(obs[rows]) - labels[rows]) * weights[rows]) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(actor.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses[step] = loss.detach()
        advance(1)
    actor.cpu()
    if not losses.isfinite().all():
        raise TrainingError(f"the loss is not finite after {steps} steps; lower fit.learning_rate")
    return [float(part.mean()) for part in losses.chunk(_MARKS)]


def _weights(actor: Actor, labels: Tensor, floor: float) -> Tensor:
    """Weigh each row's error: relative to the half range, and to the size of the row's own label."""
    half = actor.half_range.view(labels.shape[1:])
    size = (labels / half).abs().amax((1, 2), keepdim=True)
    return 1.0 / (half * (floor + size))
