"""The trial: no model that hurts its child, or answers otherwise than its manifest says, ever reaches this process."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tiny_bundle
from onnx import helper, numpy_helper
from tiny_bundle import HORIZON, JOINTS, OBS_SIZE, contract, expected, model_proto

from robostral import bundle
from robostral.bundle import trial
from robostral.bundle.manifest import PROBES
from robostral.errors import BundleRefused

ROWS = 8
CHUNK = HORIZON * len(JOINTS)


def constant(proto: onnx.ModelProto, name: str, value: Any) -> str:
    proto.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def with_extra(nodes: list[tuple[str, list[str], str, dict[str, Any]]], **constants: Any) -> onnx.ModelProto:
    """Make the tiny model add whatever `nodes` make of it as `extra` to what it scales."""
    proto = model_proto()
    for name, value in constants.items():
        constant(proto, name, value)
    plain = list(proto.graph.node)
    plain[2].input[0] = "sum"
    more = [helper.make_node(op, inputs, [output], **attributes) for op, inputs, output, attributes in nodes]
    del proto.graph.node[:]
    proto.graph.node.extend([*plain[:2], *more, helper.make_node("Add", ["bounded", "extra"], ["sum"]), *plain[2:]])
    return proto


def write(folder: Path, proto: onnx.ModelProto) -> Path:
    return tiny_bundle.write(folder / "bad-v1", model=proto.SerializeToString())


def test_the_manifest_holds_the_answers_to_the_probe(tmp_path: Path) -> None:
    found = bundle.load(tiny_bundle.write(tmp_path / "tiny-v1"))
    golden = np.array(found.manifest.golden)
    assert golden.shape == (PROBES, HORIZON, len(JOINTS))
    np.testing.assert_allclose(golden, expected(trial.probe(OBS_SIZE)), atol=1e-7)
    assert np.abs(golden).max(axis=(1, 2)).min() > 0.0
    trial.prove(found)


def test_the_probe_is_the_same_for_ever_and_exact() -> None:
    found = trial.probe(3)
    assert found.dtype == np.float32
    assert (found * 1024).tolist() == [[-16, -5, 6], [-48, 28, -28], [-128, -224, 208], [-256, -128, 0]]
    assert np.abs(trial.probe(1000)).max() == 1.0


@pytest.mark.parametrize("change", [1e-3, float("1e9")])
def test_other_answers_than_the_golden_ones_are_refused(tmp_path: Path, change: float) -> None:
    folder = tiny_bundle.write(tmp_path / "tiny-v1")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["golden"][2][1][0] += change
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleRefused, match="answers differ from the manifest's golden ones by"):
        bundle.OnnxPolicy(bundle.load(folder))


@pytest.mark.parametrize(
    "golden", [[], [[[0.0]]], [[[0.0, 0.0]] * 3] * 3, [[[0.0, 0.0]] * 2] * 4, [[[0.0] * 3] * 3] * 4]
)
def test_golden_answers_of_another_shape_are_refused(tmp_path: Path, golden: Any) -> None:
    folder = tiny_bundle.write(tmp_path / "tiny-v1")
    manifest = json.loads((folder / "manifest.json").read_bytes()) | {"golden": golden}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleRefused, match=r"'golden' is not of shape \(4, 3, 2\)"):
        bundle.load(folder)


def bomb() -> onnx.ModelProto:
    """A (n, 1) and a (1, n) constant of 160 KB each, added: 6.4 GB."""
    n = 40_000
    big = ("Add", ["column", "row"], "big", {})
    sliced = ("ReduceMax", ["big"], "extra", {"keepdims": 0})
    return with_extra([big, sliced], column=np.ones((n, 1), np.float32), row=np.ones((1, n), np.float32))


def fed_bomb() -> onnx.ModelProto:
    """The same, out of the observation, so that nothing can be folded beforehand."""
    nodes = [
        ("ReduceMax", ["obs"], "most", {"keepdims": 0}),
        ("Mul", ["column", "most"], "tall", {}),
        ("Add", ["tall", "row"], "big", {}),
        ("ReduceMax", ["big"], "extra", {"keepdims": 0}),
    ]
    n = 40_000
    return with_extra(nodes, column=np.ones((n, 1), np.float32), row=np.ones((1, n), np.float32))


def index_bomb() -> onnx.ModelProto:
    """Gather picks one row of a table a million times: 6 GB out of 8 MB."""
    table, picks = np.ones((1, 1500), np.float32), np.zeros(1_000_000, np.int64)
    nodes = [("Gather", ["table", "picks"], "big", {}), ("ReduceMax", ["big"], "extra", {"keepdims": 0})]
    return with_extra(nodes, table=table, picks=picks)


@pytest.mark.parametrize("make", [bomb, fed_bomb, index_bomb])
def test_models_that_explode_are_refused(tmp_path: Path, make: Any) -> None:
    with pytest.raises(BundleRefused, match=r"^model.onnx: (cannot be run|onnxruntime refuses|its first load)"):
        write(tmp_path, make())
    assert not (tmp_path / "bad-v1").exists()


def test_models_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "CPU_S", 1)  # the smallest that a limit can be
    nodes: list[Any] = [("ReduceMax", ["obs"], "most", {"keepdims": 0}), ("Mul", ["square", "most"], "m_0", {})]
    nodes += [("MatMul", [f"m_{i}", "square"], f"m_{i + 1}", {}) for i in range(200)]
    nodes.append(("ReduceMax", ["m_200"], "extra", {"keepdims": 0}))
    with pytest.raises(BundleRefused, match="took more than 1 s of processor time"):
        write(tmp_path, with_extra(nodes, square=np.zeros((1500, 1500), np.float32)))
    monkeypatch.setattr(trial, "WALL_S", 0.01)
    with pytest.raises(BundleRefused, match=r"took longer than 0.01 s"):
        write(tmp_path, model_proto(opset=18))


@pytest.mark.parametrize(
    ("nodes", "fact"),
    [
        (
            [("Cast", ["obs"], "whole", {"to": 7}), ("Reshape", ["bounded", "whole"], "extra", {})],
            "what Reshape makes has a size that depends on the observation",
        ),
        (
            [("ReduceMax", ["obs"], "most", {"keepdims": 0}), ("Slice", ["bounded", "zero", "most"], "extra", {})],
            "what Slice makes has a size that depends",
        ),
        ([("Add", ["bounded", "later"], "extra", {}), ("Neg", ["obs"], "later", {})], "Add uses 'later' before"),
        ([("Neg", ["bounded"], "hidden", {}), ("Neg", ["hidden"], "extra", {})], "Neg makes 'hidden', which is there"),
        ([("Neg", ["nowhere"], "extra", {})], "Neg uses 'nowhere' before it is made"),
    ],
)
def test_sizes_never_depend_on_what_is_observed(tmp_path: Path, nodes: Any, fact: str) -> None:
    with pytest.raises(BundleRefused, match=f"^model.onnx: {fact}"):
        write(tmp_path, with_extra(nodes, zero=np.zeros(1, np.int64)))


def test_sizes_may_depend_on_the_number_of_rows(tmp_path: Path) -> None:
    nodes = [("Shape", ["bounded"], "size", {}), ("Reshape", ["bounded", "size"], "extra", {})]
    policy = bundle.OnnxPolicy(bundle.load(write(tmp_path, with_extra(nodes))))
    obs = trial.probe(OBS_SIZE)
    np.testing.assert_allclose(policy.infer(obs), 2.0 * expected(obs), atol=1e-7)


@pytest.mark.parametrize(
    ("nodes", "fact"),
    [
        ([("ReduceMean", ["obs"], "extra", {"keepdims": 0})], "answers a row differently when it is one of 2"),
        ([("Log", ["minus"], "extra", {})], "numbers that are not finite"),
        ([("Neg", ["two_rows"], "extra", {})], r"cannot be run|answers 1 rows with"),
    ],
)
def test_policies_that_answer_strangely_are_refused(tmp_path: Path, nodes: Any, fact: str) -> None:
    minus, two = np.float32(-1.0), np.ones((2, CHUNK), np.float32)
    with pytest.raises(BundleRefused, match=fact):
        write(tmp_path, with_extra(nodes, minus=minus, two_rows=two))


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space and descriptors are tested on Linux")
@pytest.mark.parametrize(
    ("deed", "fact"),
    [
        ("open('/etc/hostname')", "Too many open files"),
        ("socket.socket()", "Too many open files"),
        ("bytearray(1 << 28)", "MemoryError"),
        ("os.write(1, bytes(1000)); os.write(1, b'x')", "File too large"),
    ],
)
def test_the_child_can_open_nothing_and_outgrow_nothing(tmp_path: Path, deed: str, fact: str) -> None:
    program = f"import os, socket; from robostral.bundle.trial_child import _limit; _limit(1 << 26, 5, 1000); {deed}"
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=out, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode != 0
    assert fact in done.stderr


def test_a_child_that_crashes_takes_nothing_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "child.py"
    monkeypatch.setattr(trial, "_CHILD", script)
    for body, fact in (
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended onnxruntime with code -11"),
        ("print('x' * 10_000_000)", "ended onnxruntime with code 0"),
        ("import sys; print('evil\\x1b[2J'); sys.exit(3)", r"^model.onnx: evil \[2J"),
    ):
        script.write_text(body)
        with pytest.raises(BundleRefused, match=fact):
            trial.answer(model_proto(opset=19).SerializeToString(), contract(), ROWS)


def test_a_model_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = bundle.load(tiny_bundle.write(tmp_path / "tiny-v1"))
    monkeypatch.setattr(trial, "_CHILD", tmp_path / "nowhere.py")
    bundle.OnnxPolicy(found)
    with pytest.raises(BundleRefused, match="ended onnxruntime with code"):
        bundle.OnnxPolicy(dataclasses.replace(found, model_bytes=model_proto(opset=20).SerializeToString()))
