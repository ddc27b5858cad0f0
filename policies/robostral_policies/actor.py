"""The network: raw observations in, a raw bounded chunk out. The normaliser and the bounds are layers of it."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robostral.contract import Contract
from robostral_policies.config import ActorConfig, TrainingError


class Actor(nn.Module):
    """A multilayer perceptron between a normaliser and `middle + half * tanh`.

    Groups named in `config.fine` enter twice: normalised, and as `tanh(x / scale)`, which stays steep where x is small.
    An error that spans a metre far from a goal is then still seen in millimetres near it.

    Args:
        contract: Sizes the input, the bounds and the chunk.
        config: Width of the hidden layers, and the fine groups.
        seed: Draws the first weights; torch's own generator is left as it was.

    Raises:
        TrainingError: `config.fine` names a group that the contract does not have, or a scale that is not positive.
    """

    mean: Tensor
    scale: Tensor
    fine: Tensor
    fine_scale: Tensor
    middle: Tensor
    half_range: Tensor

    def __init__(self, contract: Contract, config: ActorConfig, seed: int = 0) -> None:
        super().__init__()
        low, high = np.asarray(contract.action.low), np.asarray(contract.action.high)
        self.chunk_shape = contract.chunk_shape
        columns = _fine_columns(contract, config)
        self.register_buffer("fine", torch.tensor(list(columns), dtype=torch.int64), persistent=False)
        self._buffer("mean", np.zeros(contract.obs_size))
        self._buffer("scale", np.ones(contract.obs_size))
        self._buffer("fine_scale", 1.0 / np.array(list(columns.values())))
        self._buffer("middle", np.tile((low + high) / 2, contract.action.horizon))
        self._buffer("half_range", np.tile((high - low) / 2, contract.action.horizon))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.net = _perceptron([contract.obs_size + len(columns), *config.hidden, len(self.half_range)])

    def forward(self, obs: Tensor) -> Tensor:
        """Map raw observations, shape (rows, obs_size), to raw chunks, shape (rows, horizon, n)."""
        features = (obs - self.mean) * self.scale
        if len(self.fine):
            features = torch.cat([features, torch.tanh(obs[:, self.fine] * self.fine_scale)], 1)
        flat = self.middle + self.half_range * torch.tanh(self.net(features))
        return flat.reshape(-1, *self.chunk_shape)

    def normalise_by(self, obs: NDArray[np.float32]) -> None:
        """Set the normaliser to mean and spread of `obs`, shape (rows, obs_size); a constant column passes unscaled."""
        spread = obs.std(0, dtype=np.float64)
        self.mean.copy_(torch.from_numpy(obs.mean(0, dtype=np.float64)))
        self.scale.copy_(torch.from_numpy(1.0 / np.where(spread > 1e-6, spread, 1.0)))

    def parameter_count(self) -> int:
        """Count the trained numbers."""
        return sum(parameter.numel() for parameter in self.parameters())

    def _buffer(self, name: str, values: NDArray[np.float64]) -> None:
        self.register_buffer(name, torch.from_numpy(values.astype(np.float32)))


def _fine_columns(contract: Contract, config: ActorConfig) -> dict[int, float]:
    """Find the columns of the fine groups in the observation, each with its scale."""
    found: dict[int, float] = {}
    start = 0
    for field in contract.obs:
        if field.name in config.fine:
            found |= dict.fromkeys(range(start, start + field.size), config.fine[field.name])
        start += field.size
    unknown = set(config.fine) - {field.name for field in contract.obs}
    if unknown or any(scale <= 0.0 for scale in found.values()):
        names = ", ".join(field.name for field in contract.obs)
        raise TrainingError(f"actor.fine {config.fine}: needs a positive scale for groups of the contract ({names})")
    return found


def _perceptron(widths: Sequence[int]) -> nn.Sequential:
    """Stack linear layers with SiLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.SiLU()]
    return nn.Sequential(*layers[:-1])
