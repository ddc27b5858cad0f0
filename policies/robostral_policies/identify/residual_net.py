"""The residual's nets: one hidden layer for each joint and member, all of them trained at once; and as ONNX."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robostral.arm.chain import FloatArray
from robostral.identified.bundle import INPUTS
from robostral_policies.export import Graph

MEMBERS = 4
HIDDEN = 10
STEPS = 150
ROWS = 1000
"""Rows that are enough; longer recordings are thinned evenly."""
LEARNING_RATE = 0.02
WEIGHT_DECAY = 1e-2
FADE = 0.25
"""Half ranges beyond what was seen over which the residual fades to exactly zero."""


class Ensemble(nn.Module):
    """For n joints and `MEMBERS` members: `tanh` nets of that joint's 5 inputs, gated by their range.

    Args:
        low: Least of each input, shape (n, 5).
        high: Greatest of each input, shape (n, 5).
        scale: Size of each joint's output [N·m], shape (n,).
    """

    def __init__(self, low: Tensor, high: Tensor, scale: Tensor) -> None:
        super().__init__()
        n = len(scale)
        self.register_buffer("middle", (high + low) / 2)
        self.register_buffer("per_half", 2.0 / (high - low).clamp(min=1e-6))
        self.register_buffer("scale", scale)
        self.middle: Tensor
        self.per_half: Tensor
        self.scale: Tensor
        self.w1 = nn.Parameter(torch.randn(n, MEMBERS, INPUTS, HIDDEN))
        self.b1 = nn.Parameter(torch.randn(n, MEMBERS, HIDDEN) * 0.5)
        self.w2 = nn.Parameter(torch.randn(n, MEMBERS, HIDDEN) * 0.1)

    def members(self, x: Tensor) -> Tensor:
        """Compute each member's output [N·m] from inputs (rows, n * 5); shape (rows, n, members)."""
        z = (x.reshape(len(x), -1, INPUTS) - self.middle) * self.per_half
        hidden = torch.tanh(torch.einsum("rni,nmih->rnmh", z, self.w1) + self.b1)
        return torch.einsum("rnmh,nmh->rnm", hidden, self.w2) * self.scale[:, None]

    def forward(self, x: Tensor) -> Tensor:
        """Compute mean and spread [N·m], shape (rows, 2, n); outside the range of training the mean is 0."""
        z = (x.reshape(len(x), -1, INPUTS) - self.middle) * self.per_half
        gate = ((1.0 + FADE - z.abs().amax(dim=2)) / FADE).clamp(0.0, 1.0)
        out = self.members(x)
        return torch.stack([out.mean(dim=2) * gate, out.std(dim=2, unbiased=False)], dim=1)

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run `forward` on an array."""
        with torch.inference_mode():
            found: NDArray[np.float32] = self(torch.from_numpy(x)).numpy()
        return found

    def only(self, keep: Tensor) -> "Ensemble":
        """Return the same nets with the outputs of all other joints exactly zero."""
        with torch.no_grad():
            self.scale *= keep
        return self


def train(x: NDArray[np.float32], errors: FloatArray, seed: int) -> Ensemble:
    """Fit an ensemble to errors.

    Args:
        x: Inputs, shape (rows, n * 5).
        errors: What to predict [N·m], shape (rows, n).
        seed: Of the weights and of each member's share of the rows.
    """
    rows = np.unique(np.linspace(0, len(x) - 1, min(ROWS, len(x))).astype(np.int64))
    inputs, target = torch.from_numpy(x[rows]), torch.from_numpy(errors[rows].astype(np.float32))
    n = target.shape[1]
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(seed)
        shaped = inputs.reshape(len(rows), n, INPUTS)
        net = Ensemble(shaped.amin(0), shaped.amax(0), target.std(dim=0).clamp(min=1e-9))
        # Each member leaves out stretches of its own: what they agree on is not one stretch's doing.
        stretch = (torch.arange(len(rows)) * 20) // len(rows)
        share = (torch.rand(20, n, MEMBERS) < 0.75).float()[stretch]
        optimiser = torch.optim.AdamW(net.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
        for _ in range(STEPS):
            optimiser.zero_grad()
            loss = ((((net.members(inputs) - target[:, :, None]) / net.scale[:, None]) ** 2) * share).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return net


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch on one thread: nets this small lose more to waiting for each other than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def to_onnx(net: Ensemble) -> bytes:
    """Export `Ensemble.forward` with input `obs` (rows, n * 5) and output `chunk` (rows, 2, n), both float32.

    Joints whose output is zero cost nothing. Layers of all joints are one matrix product each, zero between joints.
    """
    n = len(net.scale)
    kept = torch.nonzero(net.scale).flatten().tolist()
    graph = Graph()
    z = graph.add("Mul", graph.add("Sub", "obs", net.middle.flatten()), net.per_half.flatten())
    worst = graph.add(
        "ReduceMax", graph.add("Reshape", graph.add("Abs", z), _long(-1, n, INPUTS)), _long(2), keepdims=0
    )
    over = graph.add("Mul", graph.add("Sub", torch.tensor(1.0 + FADE), worst), torch.tensor(1.0 / FADE))
    gate = graph.add("Clip", over, torch.tensor(0.0), torch.tensor(1.0))
    hidden = torch.zeros(INPUTS * n, len(kept) * MEMBERS * HIDDEN)
    out = torch.zeros(len(kept) * MEMBERS * HIDDEN, len(kept) * MEMBERS)
    mean = torch.zeros(len(kept) * MEMBERS, n)
    for i, joint in enumerate(kept):
        for m in range(MEMBERS):
            at = i * MEMBERS + m
            part = slice(at * HIDDEN, (at + 1) * HIDDEN)
            hidden[joint * INPUTS : (joint + 1) * INPUTS, part] = net.w1[joint, m].detach()
            out[part, at] = net.w2[joint, m].detach() * net.scale[joint]
            mean[at, joint] = 1.0 / MEMBERS
    bias = net.b1[kept].detach().flatten()
    features = graph.add("Tanh", graph.add("Gemm", z, hidden, bias))
    members = graph.add("MatMul", features, out)
    average = graph.add("MatMul", members, mean)
    # Around the mean, not by the difference of two great numbers.
    off = graph.add("Sub", members, graph.add("MatMul", average, mean.T * MEMBERS))
    spread = graph.add("Sqrt", graph.add("MatMul", graph.add("Mul", off, off), mean))
    both = graph.add("Concat", graph.add("Mul", average, gate), spread, axis=1)
    return graph.model(graph.add("Reshape", both, _long(-1, 2, n)), INPUTS * n, (2, n))


def _long(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)
