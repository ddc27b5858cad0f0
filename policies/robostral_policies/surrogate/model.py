"""An ensemble of small networks that says what happens in a step; normaliser, bounds and interval are in the graph."""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robostral.contract import Contract
from robostral_policies.export import Graph, add_layer
from robostral_policies.surrogate.config import SurrogateConfig

MOTION, GAP = 3, 12
"""The first columns of what is told are the part's motion [m], whose interval is said too; then turn and velocities,
then the change of the gap and its rate, see `robostral_sims.learned`."""
_SHARP = 1.2
"""A gate reaches 0 and 1 itself: what is held firmly moves with the hand exactly, what lies still does not at all."""
BOXES = ("clearance0", "clearance1", "clearance_palm")
"""What the hand is made of, as its clearances are named."""
_PICKED, _GATES = 3, 3 + len(BOXES)
_WIDEST = 5.0
"""What is further from the middle than so many standard deviations looks no further to the networks."""
_FLOOR_M = 2e-5
"""Added to the spread of the members before it is scaled [m]: they may agree on what is not quite so."""
STATED = ("heights", "tilt", "part_half", "part_round", "friction", "friction_jaw", "part_mass")
_STATED_SHARE = 0.1
"""What a cell states, or a pilot decides, is outside by 1 where it leaves the range by this share of it; what happens,
where it leaves it by the whole range."""
_EDGE = 1e-4
"""Share of the rows, at either end of a column, that do not widen what counts as trained on."""


def columns(contract: Contract) -> dict[str, int]:
    """Return where each field of what is seen begins, by name."""
    starts = np.cumsum([0, *(field.size for field in contract.obs)])
    return {field.name: int(start) for field, start in zip(contract.obs, starts, strict=False)}


def tolerance(contract: Contract) -> NDArray[np.float32]:
    """Return by which share of its range each column may leave it until it is outside by 1, shape (k,)."""
    shares = np.ones(contract.obs_size, np.float32)
    for field, at in zip(contract.obs, columns(contract).values(), strict=True):
        shares[at : at + field.size] = _STATED_SHARE if field.name in STATED else 1.0
    return shares


def simple(contract: Contract, told: int) -> NDArray[np.float32]:
    """Return what picks the first simple outcomes from what is seen, shape (3, k, told), see `Ensemble`."""
    at, dt_s = columns(contract), contract.action.dt_s
    pick = np.zeros((_PICKED, contract.obs_size, told), np.float32)
    for i in range(12):
        pick[0, at["carried_motion"] + i, i] = 1.0
    for i in range(6):
        pick[1, at["part_velocities"] + i, i], pick[1, at["part_velocities"] + i, 6 + i] = dt_s, 1.0
    pick[2, at["gap_free"], GAP], pick[2, at["gap"], GAP] = 1.0, -1.0
    return pick


class Ensemble(nn.Module):
    """Members with first weights of their own; each says how much of which simple outcome there is, and a correction.

    The simple outcomes are a part that is carried, one that goes on as it moves, a jaw with nothing between its
    fingers, and a part that gives way to each box of the hand; each has a gate from 0 to 1. Small corrections are none.

    Args:
        config: Members, hidden layers, what is no correction.
        contract: What is seen and said; its bounds are those of the answers.
        seen: Observations of training, shape (rows, k): they set normaliser and envelope.
        told: What happened, shape (rows, m): it sets the scales.
    """

    mean: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor
    per_range: Tensor
    size: Tensor
    bound: Tensor
    quiet: Tensor
    stretch: Tensor
    simple: Tensor
    aside: Tensor

    def __init__(
        self,
        config: SurrogateConfig,
        contract: Contract,
        seen: NDArray[np.float32],
        told: NDArray[np.float32],
    ) -> None:
        super().__init__()
        spread, (low, high) = seen.std(0), np.quantile(seen, (_EDGE, 1.0 - _EDGE), axis=0)
        self._keep("mean", seen.mean(0))
        self._keep("scale", 1.0 / np.where(spread > 1e-6, spread, 1.0))
        self._keep("low", low)
        self._keep("high", high)
        self._keep("per_range", 1.0 / (np.maximum(high - low, 1e-3) * tolerance(contract)))
        self._keep("size", np.maximum(told.std(0), 1e-6))
        self._keep("bound", np.array(contract.action.high))
        self._keep("simple", simple(contract, told.shape[1]))
        self._keep("aside", np.eye(MOTION, told.shape[1]))
        self.boxes = [columns(contract)[name] for name in BOXES]
        self._keep("quiet", np.array([config.quiet_m] * 3 + [config.quiet_rad] * 3 + [0.0] * (told.shape[1] - 6)))
        self._keep("stretch", np.ones(()))
        widths = [seen.shape[1], *config.hidden, told.shape[1] + _GATES]
        self.members = nn.ModuleList()
        for index in range(config.members):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(config.seed * 100 + index)
                self.members.append(_perceptron(widths))

    def member(self, index: int, seen: Tensor) -> Tensor:
        """Say what one member expects: seen (rows, k) to told (rows, m)."""
        answer = self.members[index](((seen - self.mean) * self.scale).clamp(-_WIDEST, _WIDEST))
        gates = (torch.sigmoid(answer[:, -_GATES:]) * _SHARP - (_SHARP - 1.0) / 2.0).clamp(0.0, 1.0)
        free = answer[:, :-_GATES] * self.size
        said = torch.relu(free - self.quiet) - torch.relu(-free - self.quiet)
        for gate in range(_PICKED):
            said = said + gates[:, gate : gate + 1] * (seen @ self.simple[gate])
        for gate, box in enumerate(self.boxes, _PICKED):
            way = torch.relu(-seen[:, box : box + 1]) * seen[:, box + 1 : box + 1 + MOTION]
            said = said + gates[:, gate : gate + 1] * (way @ self.aside)
        return said

    def forward(self, seen: Tensor) -> Tensor:
        """Map what is seen, shape (rows, k), to what is said, (rows, m + 2): told, interval [m], how far outside."""
        answers = torch.stack([self.member(index, seen) for index in range(len(self.members))])
        mean = answers.mean(0)
        off = (answers - mean)[:, :, :MOTION]
        spread = off.square().sum(2).mean(0).sqrt()
        outside = ((torch.relu(seen - self.high) + torch.relu(self.low - seen)) * self.per_range).sum(1)
        flat = torch.cat([mean, ((spread + _FLOOR_M) * self.stretch)[:, None], outside[:, None]], 1)
        return torch.minimum(torch.maximum(flat, -self.bound), self.bound)

    def calibrate(self, seen: NDArray[np.float32], told: NDArray[np.float32], level: float) -> None:
        """Stretch the interval until it holds a share `level` of these motions, none of which was fitted to.

        Note:
            Split conformal prediction with a normalised score: H. Papadopoulos et al., ECML 2002.
        """
        self.stretch.fill_(1.0)
        with torch.inference_mode():
            said = self(torch.from_numpy(seen)).numpy()
        off = np.linalg.norm(said[:, :MOTION] - told[:, :MOTION], axis=1) / said[:, told.shape[1]]
        rank = min(1.0, np.ceil((len(off) + 1) * level) / len(off))
        self.stretch.fill_(float(np.quantile(off, rank, method="higher")))

    def parameter_count(self) -> int:
        """Count the trained numbers."""
        return sum(parameter.numel() for parameter in self.parameters())

    def _keep(self, name: str, values: NDArray[np.floating]) -> None:
        self.register_buffer(name, torch.from_numpy(np.array(values, np.float32)))


def to_onnx(ensemble: Ensemble) -> bytes:
    """Export with input `obs` (rows, k) and output `chunk` (rows, 1, m + 2), both float32.

    Raises:
        MissingExtra: onnx is not installed.
    """
    g, m = Graph(), len(ensemble.size)
    x = g.add("Mul", g.add("Sub", "obs", ensemble.mean), ensemble.scale)
    x = g.add("Clip", x, torch.tensor(-_WIDEST), torch.tensor(_WIDEST))
    outcomes = [g.add("MatMul", "obs", pick) for pick in ensemble.simple]
    for box in ensemble.boxes:
        depth = g.add("Relu", g.add("Neg", g.add("Gather", "obs", torch.tensor([box]), axis=1)))
        way = g.add("Mul", depth, g.add("Gather", "obs", torch.arange(box + 1, box + 1 + MOTION), axis=1))
        outcomes.append(g.add("MatMul", way, ensemble.aside))
    networks = [network for network in ensemble.members if isinstance(network, nn.Sequential)]
    answers = [_member(g, ensemble, network, x, outcomes) for network in networks]
    share = torch.tensor(1.0 / len(answers))
    mean = g.add("Mul", _sum(g, answers), share)
    squares = []
    for answer in answers:
        off = g.add("Gather", g.add("Sub", answer, mean), torch.arange(MOTION), axis=1)
        squares.append(g.add("ReduceSum", g.add("Mul", off, off), torch.tensor([1]), keepdims=1))
    spread = g.add("Sqrt", g.add("Mul", _sum(g, squares), share))
    interval = g.add("Mul", g.add("Add", spread, torch.tensor(_FLOOR_M)), ensemble.stretch)
    above, below = g.add("Sub", "obs", ensemble.high), g.add("Sub", ensemble.low, "obs")
    beyond = g.add("Mul", g.add("Add", g.add("Relu", above), g.add("Relu", below)), ensemble.per_range)
    outside = g.add("ReduceSum", beyond, torch.tensor([1]), keepdims=1)
    flat = g.add("Concat", mean, interval, outside, axis=1)
    flat = g.add("Min", g.add("Max", flat, -ensemble.bound), ensemble.bound)
    return g.model(g.add("Reshape", flat, torch.tensor([-1, 1, m + 2])), len(ensemble.mean), (1, m + 2))


def _member(g: Graph, ensemble: Ensemble, network: nn.Sequential, x: str, outcomes: list[str]) -> str:
    for layer in network:
        x = add_layer(g, layer, x)
    m = len(ensemble.size)
    free = g.add("Mul", g.add("Gather", x, torch.arange(m), axis=1), ensemble.size)
    above = g.add("Relu", g.add("Sub", free, ensemble.quiet))
    below = g.add("Relu", g.add("Sub", g.add("Neg", free), ensemble.quiet))
    said = g.add("Sub", above, below)
    for index, outcome in enumerate(outcomes):
        raw = g.add("Sigmoid", g.add("Gather", x, torch.tensor([m + index]), axis=1))
        gate = g.add("Sub", g.add("Mul", raw, torch.tensor(_SHARP)), torch.tensor((_SHARP - 1.0) / 2.0))
        gate = g.add("Clip", gate, torch.tensor(0.0), torch.tensor(1.0))
        said = g.add("Add", said, g.add("Mul", gate, outcome))
    return said


def _sum(g: Graph, names: list[str]) -> str:
    total = names[0]
    for name in names[1:]:
        total = g.add("Add", total, name)
    return total


def _perceptron(widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.SiLU()]
    return nn.Sequential(*layers[:-1])
