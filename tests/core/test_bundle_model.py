"""The model reader: what it accepts protobuf reads the same, what it refuses it refuses quickly and in one way."""

import random
import time
import tracemalloc
from collections import Counter
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tiny_bundle import contract, expected, model_proto

from robostral.bundle.check import OPERATORS, check_model
from robostral.bundle.model import MAX_FIELDS, Model, read_model
from robostral.errors import BundleRefused

TINY = model_proto().SerializeToString()


def accept(raw: bytes) -> Model:
    model = read_model(raw)
    check_model(model, contract())
    return model


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def test_inventory_is_what_the_file_holds():
    model = accept(TINY)
    assert (model.ir_version, model.opsets, model.subgraphs) == (8, {"": 17}, 0)
    assert [(v.name, v.dtype, v.shape) for v in model.inputs] == [("obs", "float32", ("rows", 6))]
    assert [(v.name, v.dtype, v.shape) for v in model.outputs] == [("chunk", "float32", ("rows", 3, 2))]
    assert model.ops == Counter({("", op): 1 for op in ("Gemm", "Tanh", "Mul", "Reshape")})
    assert {t.name: (t.dtype, t.shape, t.size) for t in model.tensors} == {
        "w": ("float32", (6, 6), 144),
        "b": ("float32", (6,), 24),
        "scale": ("float32", (), 4),
        "shape": ("int64", (3,), 24),
    }
    assert model.parameters == 36 + 6 + 1


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "int8", "uint8", "bool"])
def test_typed_and_raw_tensors_have_the_same_size(dtype):
    array = np.arange(-3, 3).reshape(2, 3).astype(dtype)
    raw = numpy_helper.from_array(array, "t")
    typed = helper.make_tensor("t", raw.data_type, array.shape, array.ravel().tolist())
    found = []
    for tensor in (raw, typed):
        proto = model_proto()
        proto.graph.initializer.append(tensor)
        found.append(read_model(proto.SerializeToString()).tensors[-1])
    assert found[0] == found[1]
    assert (found[0].dtype, found[0].size) == (dtype, array.nbytes)


def refused_model(change: Any) -> bytes:
    proto = model_proto()
    change(proto)
    return proto.SerializeToString()


def external(p: onnx.ModelProto) -> None:
    p.graph.initializer[0].data_location = TensorProto.EXTERNAL
    p.graph.initializer[0].ClearField("raw_data")
    p.graph.initializer[0].external_data.add(key="location", value="../../etc/passwd")


def located(p: onnx.ModelProto) -> None:
    p.graph.initializer[0].data_location = TensorProto.EXTERNAL


def in_attribute(p: onnx.ModelProto) -> None:
    tensor = TensorProto(name="t", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    p.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))


def if_node(p: onnx.ModelProto) -> None:
    branch = helper.make_graph([helper.make_node("Identity", ["obs"], ["y"])], "b", [], [])
    p.graph.node.append(helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch))


def hidden_graph(p: onnx.ModelProto) -> None:
    branch = helper.make_graph([helper.make_node("Loop", ["obs"], ["y"])], "b", [], [])
    p.graph.node.append(helper.make_node("Identity", ["obs"], ["y"], body=branch))


def function(p: onnx.ModelProto) -> None:
    p.functions.add(name="Tanh", domain="")


def retype(p: onnx.ModelProto) -> None:
    p.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE


def set_dim(values: Any, index: int, size: int) -> Any:
    def change(p: onnx.ModelProto) -> None:
        getattr(p.graph, values)[0].type.tensor_type.shape.dim[index].dim_value = size

    return change


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (external, "refused part 'external_data' in a tensor"),
        (located, "external data"),
        (in_attribute, "external data"),
        (if_node, "operator 'If' is not on the allow-list"),
        (hidden_graph, "operator 'Loop' is not on the allow-list"),
        (function, "refused part 'functions'"),
        (lambda p: p.training_info.add(), "refused part 'training_info'"),
        (lambda p: p.graph.sparse_initializer.add(), "refused part 'sparse_initializer'"),
        (lambda p: setattr(p.graph.node[1], "op_type", "RandomNormal"), "operator 'RandomNormal'"),
        (lambda p: setattr(p.graph.node[1], "domain", "com.evil"), "custom operator domain 'com.evil'"),
        (lambda p: p.opset_import.append(helper.make_opsetid("com.microsoft", 1)), "domain 'com.microsoft'"),
        (lambda p: p.opset_import.append(helper.make_opsetid("ai.onnx", 17)), "imported twice"),
        (lambda p: setattr(p.opset_import[0], "version", 99), "operator set 99 outside"),
        (lambda p: p.ClearField("opset_import"), "operator set 0 outside"),
        (lambda p: p.ClearField("graph"), "holds no graph"),
        (retype, r"input 'obs' is float64 \('rows', 6\)"),
        (set_dim("input", 1, 27), r"input 'obs' is float32 \('rows', 27\), the contract says float32 \(rows, 6\)"),
        (set_dim("output", 2, 7), r"output 'chunk' is .*the contract says float32 \(rows, 3, 2\)"),
        (lambda p: p.graph.input[0].type.tensor_type.ClearField("shape"), "input 'obs' is float32 None"),
        (lambda p: setattr(p.graph.output[0], "name", "action"), r"outputs are \['action'\]"),
        (lambda p: p.graph.input.append(helper.make_tensor_value_info("h", 1, [1])), r"inputs are \['obs', 'h'\]"),
        (lambda p: setattr(p.graph.initializer[0], "data_type", TensorProto.STRING), "data type 8"),
        (lambda p: p.graph.initializer[0].dims.append(1 << 40), "too large"),
        (lambda p: p.graph.initializer[0].dims.append(-1), "too large"),
        (lambda p: p.graph.initializer[0].dims.append(2), "more or less data than its shape"),
        (lambda p: p.graph.initializer[0].float_data.append(1.0), "more or less data than its shape"),
        (lambda p: p.graph.initializer[0].int64_data.append(1), "data of another type"),
    ],
)
def test_hostile_and_unfitting_models_are_refused(change, fact):
    with pytest.raises(BundleRefused, match=f"model.onnx: .*{fact}"):
        accept(refused_model(change))


@pytest.mark.parametrize(
    ("raw", "fact"),
    [
        (TINY + TINY, "occurs twice"),  # protobuf would merge the two graphs
        (TINY + field(100, b""), "unknown part 'field 100'"),
        (TINY + varint(9 << 3 | 3), "unknown part"),
        (TINY + varint(14 << 3 | 0) + b"\x01", "wire type 0"),
        (TINY[:-1], "cut off"),
        (varint(1 << 3) + b"\xff" * 11, "64 bits"),
        (field(7, varint(1 << 3 | 2) + varint(1 << 62)), "length that exceeds"),
        (field(2, b"\xff"), "UTF-8"),
    ],
)
def test_bytes_that_two_readers_could_see_differently_are_refused(raw, fact):
    with pytest.raises(BundleRefused, match=fact):
        accept(raw)


def nested(levels: int) -> bytes:
    graph = b""
    for _ in range(levels):
        graph = field(1, field(5, field(6, graph)))
    return field(7, graph)


@pytest.mark.parametrize(
    ("raw", "fact"),
    [
        (field(7, field(1, b"") * MAX_FIELDS), "protobuf fields"),
        (field(7, field(5, varint(1 << 3) * (1 << 22) + b"\x01")), "protobuf fields|cut off"),
        (field(7, field(5, field(1, b"\x01" * (1 << 23)))), "protobuf fields"),
        (field(7, field(5, field(1, b"\x01" * 9) + b"\x10\x01")), "too large"),
        (nested(500), "nested deeper"),
        (nested(100_000), "nested deeper"),
    ],
)
def test_bombs_cost_neither_time_nor_memory(raw, fact):
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(BundleRefused, match=fact):
        read_model(raw)
    assert time.process_time() - started < 5.0
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


def assert_same_reading(raw: bytes) -> None:
    """Whatever we accept, protobuf must read the same way."""
    try:
        model = accept(raw)
    except BundleRefused:
        return
    proto = onnx.ModelProto.FromString(raw)
    assert model.ops == Counter((node.domain.replace("ai.onnx", ""), node.op_type) for node in proto.graph.node)
    assert model.opsets == {item.domain.replace("ai.onnx", ""): item.version for item in proto.opset_import}
    shapes = {t.name: tuple(t.dims) for t in proto.graph.initializer}
    assert {t.name: t.shape for t in model.tensors} == shapes
    assert not any(t.external_data or t.data_location for t in proto.graph.initializer)
    assert not proto.functions
    assert {node.op_type for node in proto.graph.node} <= OPERATORS


def test_every_single_bit_flip_is_refused_or_read_alike():
    for bit in range(8 * len(TINY)):
        raw = bytearray(TINY)
        raw[bit // 8] ^= 1 << bit % 8
        assert_same_reading(bytes(raw))


def test_every_truncation_is_refused():
    for length in range(len(TINY)):
        with pytest.raises(BundleRefused):
            accept(TINY[:length])


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(raw):
    with pytest.raises(BundleRefused):
        accept(raw)


def test_random_splices_are_refused_or_read_alike():
    generator = random.Random(1)
    for _ in range(3000):
        raw = bytearray(TINY)
        for _ in range(generator.randint(1, 6)):
            start, end = sorted(generator.randrange(len(raw) + 1) for _ in range(2))
            at = generator.randrange(len(raw) + 1)
            raw[at : at + generator.randint(0, 3)] = raw[start : min(end, start + 40)]
        assert_same_reading(bytes(raw))


def test_the_tiny_model_is_what_it_says():
    runtime = pytest.importorskip("onnxruntime")
    obs = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    session = runtime.InferenceSession(TINY, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"obs": obs})[0], expected(obs), atol=1e-7)
