"""The network: raw observations in, a raw bounded chunk out. The normaliser and the bounds are layers of it."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robostral_policies.config import ActorConfig, FineConfig, NearConfig, TrainingError
from robostral_policies.interface import Interface


class Near(nn.Module):
    """Features of an error group that fade out away from zero: `x / reach` and `tanh(x / fine)`, times a bell of |x|.

    Near a goal the error says all that matters, down to a hair's breadth. Far from it an orientation error is worse
    than nothing: at half a turn its sign jumps, and a network that listens turns the wrong way round.

    Args:
        start, stop: The group's columns in the observation.
        config: Its two scales.
    """

    def __init__(self, start: int, stop: int, config: NearConfig) -> None:
        super().__init__()
        self.start, self.stop, self.config = start, stop, config

    def forward(self, obs: Tensor) -> Tensor:
        """Map observations, shape (rows, obs_size), to features, shape (rows, 2 * size)."""
        x = obs[:, self.start : self.stop]
        bell = torch.exp((x * x).sum(1, keepdim=True) * -(self.config.reach**-2))
        return torch.cat([x * (1.0 / self.config.reach) * bell, torch.tanh(x * (1.0 / self.config.fine)) * bell], 1)


class Fine(nn.Module):
    """Magnified columns: `tanh(x / scale)` for each scale, `sin` and `cos` of `2 pi x / period` for each period.

    Args:
        columns: Their places in the observation.
        config: Scales and periods.
        angle: Place of the angle by which the columns, x and y, are turned back before; None if they are not.
    """

    def __init__(self, columns: Sequence[int], config: FineConfig, angle: int | None = None) -> None:
        super().__init__()
        self.columns, self.angle = torch.tensor(columns), angle
        self.sides = torch.tensor([1.0, -1.0])
        self.slopes = [1.0 / scale for scale in config.scales]
        self.rates = [2.0 * math.pi / period for period in config.periods]
        self.size = len(columns) * (len(self.slopes) + 2 * len(self.rates))

    def forward(self, obs: Tensor) -> Tensor:
        """Map observations, shape (rows, obs_size), to features, shape (rows, size)."""
        x = obs[:, self.columns]
        if self.angle is not None:
            angle = obs[:, self.angle : self.angle + 1]
            x = x * torch.cos(angle) + x.flip(1) * self.sides * torch.sin(angle)
        waves = [wave(x * rate) for rate in self.rates for wave in (torch.sin, torch.cos)]
        return torch.cat([*(torch.tanh(x * slope) for slope in self.slopes), *waves], 1)


class Actor(nn.Module):
    """A multilayer perceptron between a normaliser and `middle + half_range * bound`, where `bound` is a tanh.

    Args:
        interface: Sizes the input, the bounds and the chunk.
        config: Width of the hidden layers, the groups that are heard near zero only, and the magnified columns.
        seed: Draws the first weights; torch's own generator is left as it was.

    Raises:
        TrainingError: `config` names a group or a column that the observation does not have.
    """

    wide: Tensor
    mean: Tensor
    scale: Tensor
    middle: Tensor
    half_range: Tensor

    def __init__(self, interface: Interface, config: ActorConfig, seed: int = 0) -> None:
        super().__init__()
        low, high = interface.low, interface.high
        self.obs_size, self.chunk_shape = interface.obs_size, interface.chunk_shape
        wide, near = _columns(interface, config)
        self.near = nn.ModuleList(near)
        fine = [_fine(interface, one) for one in config.fine]
        self.fine = nn.ModuleList(fine)
        self.register_buffer("wide", torch.tensor(wide), persistent=False)
        self._buffer("mean", np.zeros(len(wide)))
        self._buffer("scale", np.ones(len(wide)))
        self._buffer("middle", np.tile((low + high) / 2, interface.horizon))
        self._buffer("half_range", np.tile((high - low) / 2, interface.horizon))
        self.bound: nn.Module = nn.Tanh()
        features = len(wide) + 2 * (self.obs_size - len(wide)) + sum(one.size for one in fine)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.net = _perceptron([features, *config.hidden, len(self.middle)])

    def forward(self, obs: Tensor) -> Tensor:
        """Map raw observations, shape (rows, obs_size), to raw chunks, shape (rows, horizon, n)."""
        normalised = (obs[:, self.wide] - self.mean) * self.scale
        features = torch.cat([normalised, *(part(obs) for part in (*self.near, *self.fine))], 1)
        flat: Tensor = self.bound(self.net(features)) * self.half_range + self.middle
        return flat.reshape(-1, *self.chunk_shape)

    def normalise_by(self, obs: NDArray[np.float32]) -> None:
        """Set the normaliser to mean and spread of `obs`, shape (rows, obs_size); a constant column passes unscaled."""
        wide = obs[:, self.wide.numpy()].astype(np.float64)
        spread = wide.std(0)
        self.mean.copy_(torch.from_numpy(wide.mean(0)))
        self.scale.copy_(torch.from_numpy(1.0 / np.where(spread > 1e-6, spread, 1.0)))

    def parameter_count(self) -> int:
        """Count the trained numbers."""
        return sum(parameter.numel() for parameter in self.parameters())

    def _buffer(self, name: str, values: NDArray[np.float64]) -> None:
        self.register_buffer(name, torch.from_numpy(values.astype(np.float32)))


def _columns(interface: Interface, config: ActorConfig) -> tuple[list[int], list[Near]]:
    """Share out the observation: columns that are normalised, and groups that are heard near zero only."""
    names = [name for name, _ in interface.groups]
    if unknown := sorted(set(config.near) - set(names)):
        raise TrainingError(f"actor.near: '{unknown[0]}' is no group of the contract ({', '.join(names)})")
    wide: list[int] = []
    near: list[Near] = []
    start = 0
    for name, size in interface.groups:
        stop = start + size
        if name in config.near:
            near.append(Near(start, stop, config.near[name]))
        else:
            wide += range(start, stop)
        start = stop
    return wide, near


def _fine(interface: Interface, config: FineConfig) -> Fine:
    """Find the magnified columns in the observation, and the angle that turns them."""
    columns = _places(interface, config.group, config.columns)
    if config.angle is None:
        return Fine(columns, config)
    if len(columns) != 2:
        raise TrainingError(f"actor.fine: an angle turns 2 columns, x and y; '{config.group}' has {len(columns)} here")
    group, column = config.angle
    return Fine(columns, config, *_places(interface, group, (column,)))


def _places(interface: Interface, group: str, columns: Sequence[int]) -> list[int]:
    """Find columns of a group in the observation."""
    start = 0
    for name, size in interface.groups:
        if name == group and max(columns, default=-1) < size:
            return [start + column for column in columns]
        start += size
    groups = ", ".join(f"{name} ({size})" for name, size in interface.groups)
    raise TrainingError(f"actor.fine: no columns {list(columns)} of '{group}' in the contract ({groups})")


def _perceptron(widths: Sequence[int]) -> nn.Sequential:
    """Stack linear layers with SiLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.SiLU()]
    return nn.Sequential(*layers[:-1])
