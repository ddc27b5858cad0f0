"""The small ReLU policies inside the pybullet wheel (`pybullet_envs/examples/enjoy_TF_*.py`) as contracts and bundles.

Their weights are Python literals in scripts that import `gym`; they are read from the syntax tree, never run.
"""

import ast
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from robostral import bundle
from robostral.contract import Action, Contract, Device, ObsField, Rate, Requirements, Sealed

LAYERS = ("dense1", "dense2", "final")
BOUND = 100.0
"""Wider than any answer: the numbers are compared as the network makes them, unclipped."""


@dataclass(frozen=True)
class ReluPolicy:
    """Three dense layers; weights [(w (k, m), b (m,))] in float64 as written."""

    name: str
    layers: tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]

    @property
    def contract(self) -> Contract:
        """One observation field, one step of one number per motor."""
        size, n = len(self.layers[0][0]), len(self.layers[-1][1])
        return Contract(
            task=self.name,
            devices=(Device("robot", tuple(f"motor_{i}" for i in range(n)), (1,) * n),),
            obs=(ObsField("state", (size,), "1", "base", "driver"),),
            action=Action("joint_velocity", (-BOUND,) * n, (BOUND,) * n, "1", "joint", 1, 1 / 60, 1 / 60),
            rate=Rate(60.0, 0.0),
        )

    def forward(self, obs: NDArray[np.float64]) -> NDArray[np.float64]:
        """The script's own forward pass, in float64: observations (rows, size) to actions (rows, n)."""
        x = obs
        for w, b in self.layers[:-1]:
            x = np.maximum(np.dot(x, w) + b, 0)
        w, b = self.layers[-1]
        return np.dot(x, w) + b

    def write(self, folder: Path) -> Path:
        """Write the unsigned bundle."""
        sealed = Sealed.seal(self.contract)
        n = len(self.contract.action.low)
        limits = ((-10.0,) * n, *(((10.0,) * n,) * 6))
        return bundle.write(
            folder / f"{self.name}-v1",
            model=self.onnx(),
            sealed=sealed,
            requirements=Requirements((60.0, 60.0), ("joint_velocity",), self.name, "0" * 64, 1.0, 1.0, limits, 0.0, 4),
            name=self.name,
            version=1,
            lineage=bundle.Lineage("pybullet_envs", "pybullet", "0" * 64, 0, "unknown", {}),
            metrics={},
            parity=bundle.Parity(0.0, 0),
            cost=bundle.Cost(sum(w.size + b.size for w, b in self.layers), 0, 0.0, 0.0, "unknown"),
            card=f"# {self.name}\n",
            licence="Zlib",
        )

    def onnx(self) -> bytes:
        """Export the network; it computes in float64 as numpy does, between a float32 observation and chunk."""
        constants = [numpy_helper.from_array(np.array([-1, 1, len(self.layers[-1][1])]), "shape")]
        nodes, x = [helper.make_node("Cast", ["obs"], ["exact"], to=TensorProto.DOUBLE)], "exact"
        for layer, (w, b) in zip(LAYERS, self.layers, strict=True):
            for part, array in (("w", w), ("b", b)):
                constants.append(numpy_helper.from_array(array, f"{layer}_{part}"))
            nodes.append(helper.make_node("Gemm", [x, f"{layer}_w", f"{layer}_b"], [layer]))
            x = layer
            if layer != LAYERS[-1]:
                x = f"{layer}_relu"
                nodes.append(helper.make_node("Relu", [layer], [x]))
        nodes.append(helper.make_node("Cast", [x], ["single"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Reshape", ["single", "shape"], ["chunk"]))
        size, n = self.contract.obs_size, self.contract.chunk_shape[1]
        graph = helper.make_graph(
            nodes,
            self.name,
            [helper.make_tensor_value_info("obs", TensorProto.FLOAT, ["rows", size])],
            [helper.make_tensor_value_info("chunk", TensorProto.FLOAT, ["rows", 1, n])],
            constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        raw: bytes = model.SerializeToString()
        return raw


def scripts() -> list[Path]:
    """Find the scripts without importing them; none where pybullet is not installed."""
    spec = find_spec("pybullet_envs")
    roots = list(spec.submodule_search_locations or ()) if spec else []
    return sorted(path for root in roots for path in Path(root, "examples").glob("enjoy_TF_*.py"))


def read(script: Path) -> ReluPolicy:
    """Read `weights_<layer>_<w or b> = np.array(<literal>)` from a script's syntax tree."""
    found: dict[str, NDArray[np.float64]] = {}
    for node in ast.parse(script.read_text(encoding="utf-8")).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(args=[literal])) if name.startswith("weights_"):
                found[name] = np.array(ast.literal_eval(literal), np.float64)
    layers = tuple((found[f"weights_{layer}_w"], found[f"weights_{layer}_b"]) for layer in LAYERS)
    return ReluPolicy(script.stem.removeprefix("enjoy_TF_").split("Bullet")[0].lower(), layers)
