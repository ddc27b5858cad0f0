"""A learned simulator that nobody had to train: a part goes where the hand goes, a jaw closes on nothing."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from robostral_sims.learned import CARRIED, GAP, GAP_CHANGE, GAP_FREE, MOTION, SAID, SEEN
from robostral_sims.scene import load_scene
from robostral_sims.watch import contract_of, jaw_of

from robostral import bundle
from robostral.arm import load_arm
from robostral.contract import Sealed
from robostral.requirements import requirements_of


def write(folder: Path, *, beyond: float = 0.0) -> str:
    """Write the bundle; it says of every step that it is `beyond` what was trained on."""
    scene = load_scene("panda-pick_place")
    w, b = np.zeros((SEEN, SAID), np.float32), np.zeros(SAID, np.float32)
    for i in range(6):
        w[CARRIED + i, MOTION + i] = 1.0
    w[GAP_FREE, GAP_CHANGE], w[GAP, GAP_CHANGE], b[-1] = 1.0, -1.0, beyond
    constants = {"w": w, "b": b, "shape": np.array([-1, 1, SAID], np.int64)}
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["obs", "w", "b"], ["flat"]),
            helper.make_node("Reshape", ["flat", "shape"], ["chunk"]),
        ],
        "planted",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, ["rows", SEEN])],
        [helper.make_tensor_value_info("chunk", TensorProto.FLOAT, ["rows", 1, SAID])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = bundle.write(
        folder,
        model=model.SerializeToString(),
        sealed=Sealed.seal(contract_of(jaw_of(scene), 0.04)),
        requirements=requirements_of(load_arm("panda"), max_latency_s=0.04),
        name="planted",
        version=1,
        lineage=bundle.Lineage("Planted-v0", "none", "0" * 64, 0, "unknown", {"numpy": np.__version__}),
        metrics={"none": bundle.Success.of(1, 1)},
        parity=bundle.Parity(0.0, 1),
        cost=bundle.Cost(0, 0, 1.0, 0.0, "a test"),
        card="# planted\n",
    )
    return str(path)
