"""From the trained network to ONNX bytes: one file, a dynamic number of rows, few plain operators, bounded outputs.

The graph is written here node by node, so that it holds nothing that a tracer chose, and the same network always gives
the same bytes. `parity` is the proof that it is the network.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robostral.bundle.policy import open_session
from robostral.extras import require
from robostral_policies.actor import Actor, Fine, Near

OPSET = 20
IR_VERSION = 9


def to_onnx(actor: Actor) -> bytes:
    """Export the network with input `obs` (rows, obs_size) and output `chunk` (rows, horizon, n), both float32.

    Raises:
        MissingExtra: onnx is not installed.
    """
    graph = Graph()
    wide = graph.add("Gather", "obs", actor.wide, axis=1)
    features = graph.add("Mul", graph.add("Sub", wide, actor.mean), actor.scale)
    near = [part for one in actor.near for part in _near(graph, one)]
    fine, places = _fine(graph, [one for one in actor.fine if isinstance(one, Fine)])
    features = graph.add("Concat", features, *near, *fine, axis=1)
    first, *others = actor.net
    assert isinstance(first, nn.Linear)
    before = first.in_features - len(places)
    order = [*range(before), *(before + place for place in places)]
    features = graph.add("Gemm", features, first.weight[:, order], first.bias, transB=1)
    for layer in others:
        features = add_layer(graph, layer, features)
    flat = graph.add("Add", graph.add("Mul", add_layer(graph, actor.bound, features), actor.half_range), actor.middle)
    shape = torch.tensor([-1, *actor.chunk_shape])
    return graph.model(graph.add("Reshape", flat, shape), actor.obs_size, actor.chunk_shape)


def add_layer(graph: "Graph", layer: nn.Module, features: str) -> str:
    """Add a layer of a network, linear or one of the activations SiLU, Tanh, ReLU, Hardtanh; return its output."""
    if isinstance(layer, nn.Linear):
        return graph.add("Gemm", features, layer.weight, layer.bias, transB=1)
    if isinstance(layer, nn.SiLU):
        return graph.add("Mul", features, graph.add("Sigmoid", features))
    if isinstance(layer, nn.Hardtanh):
        return graph.add("Clip", features, torch.tensor(layer.min_val), torch.tensor(layer.max_val))
    return graph.add({nn.Tanh: "Tanh", nn.ReLU: "Relu"}[type(layer)], features)


def _near(graph: "Graph", near: nn.Module) -> tuple[str, str]:
    assert isinstance(near, Near)
    x = graph.add("Gather", "obs", torch.arange(near.start, near.stop), axis=1)
    square = graph.add("ReduceSum", graph.add("Mul", x, x), torch.tensor([1]), keepdims=1)
    bell = graph.add("Exp", graph.add("Mul", square, torch.tensor(-(near.config.reach**-2))))
    coarse = graph.add("Mul", x, torch.tensor(1.0 / near.config.reach))
    fine = graph.add("Tanh", graph.add("Mul", x, torch.tensor(1.0 / near.config.fine)))
    return graph.add("Mul", coarse, bell), graph.add("Mul", fine, bell)


def _fine(graph: "Graph", fines: list[Fine]) -> tuple[list[str], list[int]]:
    """Add all magnified columns, those of a kind in one node, for a node costs more than its numbers.

    Returns:
        The outputs, and where each of their columns stands among the network's own.
    """
    kinds: dict[tuple[int | None, bool], list[tuple[Fine, float, int]]] = {}
    start = 0
    for fine in fines:
        for waves, factors in ((False, fine.slopes), (True, fine.rates)):
            for factor in factors:
                kinds.setdefault((fine.angle, waves), []).append((fine, factor, start))
                start += len(fine.columns) * (2 if waves else 1)
    outputs: list[str] = []
    places: list[int] = []
    for (angle, waves), parts in kinds.items():
        factors_of = torch.cat([torch.full((len(fine.columns),), factor) for fine, factor, _ in parts])
        x = graph.add("Mul", _turned(graph, angle, [fine for fine, _, _ in parts]), factors_of)
        for index, operator in enumerate(("Sin", "Cos") if waves else ("Tanh",)):
            outputs.append(graph.add(operator, x))
            sizes = [(at, len(fine.columns)) for fine, _, at in parts]
            places += [at + index * size + i for at, size in sizes for i in range(size)]
    return outputs, places


def _turned(graph: "Graph", angle: int | None, fines: list[Fine]) -> str:
    """Add the columns of some that are turned back by the same angle, or by none."""
    x = graph.add("Gather", "obs", torch.cat([fine.columns for fine in fines]), axis=1)
    if angle is None:
        return x
    turn = graph.add("Gather", "obs", torch.tensor([angle]), axis=1)
    swapped = graph.add("Gather", "obs", torch.cat([fine.columns.flip(0) for fine in fines]), axis=1)
    swapped = graph.add("Mul", swapped, torch.cat([fine.sides for fine in fines]))
    along = graph.add("Mul", x, graph.add("Cos", turn))
    return graph.add("Add", along, graph.add("Mul", swapped, graph.add("Sin", turn)))


class Graph:
    """An ONNX graph under construction; values are named by the node that makes them."""

    def __init__(self) -> None:
        self._onnx: Any = require("onnx", "train")
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def add(self, operator: str, *inputs: str | Tensor, **attributes: int) -> str:
        """Add a node; a tensor among the inputs becomes a constant. Return the name of its output."""
        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        name = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(operator, names, [name], name, **attributes))
        return name

    def model(self, output: str, obs_size: int, chunk_shape: tuple[int, int]) -> bytes:
        """Close the graph at `output` and serialise it."""
        helper, f32 = self._onnx.helper, self._onnx.TensorProto.FLOAT
        self._nodes[-1].output[0] = "chunk"
        assert self._nodes[-1].name == output
        graph = helper.make_graph(
            self._nodes,
            "actor",
            [helper.make_tensor_value_info("obs", f32, ["rows", obs_size])],
            [helper.make_tensor_value_info("chunk", f32, ["rows", *chunk_shape])],
            self._constants,
        )
        opset = helper.make_opsetid("", OPSET)
        made = helper.make_model(graph, producer_name="robostral", ir_version=IR_VERSION, opset_imports=[opset])
        self._onnx.checker.check_model(made, full_check=True)
        raw: bytes = made.SerializeToString(deterministic=True)
        return raw

    def _constant(self, value: Tensor) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(self._onnx.numpy_helper.from_array(value.detach().numpy(), name))
        return name


def parity(actor: Callable[[Tensor], Tensor], model: bytes, obs: NDArray[np.float32]) -> float:
    """Compute the greatest absolute difference between network and exported model over `obs` (rows, obs_size)."""
    with torch.inference_mode():
        ours = actor(torch.from_numpy(obs)).numpy()
    theirs = open_session(model).run(["chunk"], {"obs": obs})[0]
    return float(np.abs(ours - theirs).max())


def probe(seen: NDArray[np.float32], n: int, seed: int) -> NDArray[np.float32]:
    """Draw `n` observations for `parity`: half of them seen in rollouts, half random with three times their spread."""
    rng = np.random.default_rng([seed, 2])
    rows = seen[rng.integers(len(seen), size=n - n // 2)]
    wild = seen.mean(0) + 3.0 * seen.std(0) * rng.normal(size=(n // 2, seen.shape[1]))
    return np.concatenate([rows, wild.astype(np.float32)])
