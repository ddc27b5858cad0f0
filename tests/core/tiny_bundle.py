"""A tiny contract, model and bundle for tests: chunk = 0.05 * tanh(obs @ w + b), two joints, three steps."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from robostral import bundle
from robostral.contract import Action, Contract, Device, ObsField, Rate, Requirements, Sealed

JOINTS = ("shoulder", "elbow")
HORIZON = 3
OBS_SIZE = 6
ZERO_DIGEST = "0" * 64


def contract(**changes: Any) -> Contract:
    fields: dict[str, Any] = {
        "task": "tiny",
        "devices": (Device("arm", JOINTS, (1, 1)),),
        "obs": (
            ObsField("q", (2,), "rad", "joint", "driver"),
            ObsField("dq", (2,), "rad/s", "joint", "driver"),
            ObsField("q_c", (2,), "rad", "joint", "derived"),
        ),
        "action": Action("joint_position_delta", (-0.06,) * 2, (0.06,) * 2, "rad", "joint", HORIZON, 0.04, 0.12),
        "rate": Rate(25.0, 0.02),
    }
    return Contract(**(fields | changes))


def requirements() -> Requirements:
    row = (10.0, 10.0)
    limits = ((-3.0, -3.0), (3.0, 3.0), row, row, row, row, (None, None))
    return Requirements((125.0, 1000.0), ("joint_position",), "tiny", ZERO_DIGEST, 1.0, 1.0, limits, 0.02, 8)


def weights() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(7)
    shape = (OBS_SIZE, HORIZON * len(JOINTS))
    return generator.normal(size=shape).astype(np.float32), generator.normal(size=shape[1]).astype(np.float32)


def expected(obs: np.ndarray) -> np.ndarray:
    w, b = weights()
    return (0.05 * np.tanh(obs @ w + b)).reshape(-1, HORIZON, len(JOINTS))


def model_proto(obs_size: int = OBS_SIZE, opset: int = 17) -> onnx.ModelProto:
    w, b = weights()
    nodes = [
        helper.make_node("Gemm", ["obs", "w", "b"], ["hidden"]),
        helper.make_node("Tanh", ["hidden"], ["bounded"]),
        helper.make_node("Mul", ["bounded", "scale"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["chunk"]),
    ]
    constants = {
        "w": np.resize(w, (obs_size, w.shape[1])),
        "b": b,
        "scale": np.float32(0.05),
        "shape": np.array([-1, HORIZON, len(JOINTS)], np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, ["rows", obs_size])],
        [helper.make_tensor_value_info("chunk", TensorProto.FLOAT, ["rows", HORIZON, len(JOINTS)])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def lineage() -> bundle.Lineage:
    return bundle.Lineage("Tiny-v0", "none", ZERO_DIGEST, 0, "unknown", {"numpy": np.__version__})


def write(folder: Path, private_key: Path | None = None, **changes: Any) -> Path:
    """Write the tiny bundle; `changes` replace arguments of `bundle.write`."""
    arguments: dict[str, Any] = {
        "model": model_proto().SerializeToString(),
        "sealed": Sealed.seal(contract()),
        "requirements": requirements(),
        "name": "tiny",
        "version": 1,
        "lineage": lineage(),
        "metrics": {"none": bundle.Success.of(995, 1000)},
        "parity": bundle.Parity(1e-7, 100),
        "cost": bundle.Cost(42, 0, 5.0, 1.0, "a test"),
        "card": "# tiny\n",
        "private_key": private_key,
    }
    return bundle.write(folder, **(arguments | changes))
