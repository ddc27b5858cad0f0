"""What an ONNX file holds, read with a small protobuf reader of ours, so that `onnx` stays off the robot.

The reader is stricter than protobuf: an unknown field, a field that occurs twice where one is meant, or a group is
refused, because another reader could see another model in the same bytes. Sizes, counts and nesting are bounded.

Note:
    Field numbers: onnx/onnx.proto of ONNX 1.19 (IR version 12). Wire format: protobuf.dev/programming-guides/encoding.
"""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from robostral.errors import BundleRefused

MAX_FIELDS = 1 << 16
"""Protobuf fields in one model; an exported MLP has some hundreds."""
MAX_DEPTH = 24
MAX_RANK = 8
MAX_ELEMENTS = 1 << 26

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# kind of a field: a scalar, a text, inert bytes, a packed list, or the name of a message; "*" means repeated
_SCHEMAS: dict[str, dict[int, tuple[str, str]]] = {
    "model": {
        1: ("ir_version", "int"),
        2: ("producer_name", "text"),
        3: ("producer_version", "text"),
        4: ("domain", "text"),
        5: ("model_version", "int"),
        6: ("doc_string", "inert"),
        7: ("graph", "graph"),
        8: ("opset_import", "opset*"),
        14: ("metadata_props", "entry*"),
        20: ("training_info", "refused"),
        25: ("functions", "refused"),
        26: ("configuration", "refused"),
    },
    "entry": {1: ("key", "text"), 2: ("value", "text")},
    "opset": {1: ("domain", "text"), 2: ("version", "int")},
    "graph": {
        1: ("node", "node*"),
        2: ("name", "text"),
        5: ("initializer", "tensor*"),
        10: ("doc_string", "inert"),
        11: ("input", "value*"),
        12: ("output", "value*"),
        13: ("value_info", "value*"),
        14: ("quantization_annotation", "refused"),
        15: ("sparse_initializer", "refused"),
        16: ("metadata_props", "entry*"),
    },
    "node": {
        1: ("input", "text*"),
        2: ("output", "text*"),
        3: ("name", "text"),
        4: ("op_type", "text"),
        5: ("attribute", "attribute*"),
        6: ("doc_string", "inert"),
        7: ("domain", "text"),
        8: ("overload", "refused"),
        9: ("metadata_props", "entry*"),
        10: ("device_configurations", "refused"),
    },
    "attribute": {
        1: ("name", "text"),
        2: ("f", "fixed32"),
        3: ("i", "int"),
        4: ("s", "inert"),
        5: ("t", "tensor"),
        6: ("g", "graph"),
        7: ("floats", "fixed32s*"),
        8: ("ints", "ints*"),
        9: ("strings", "inert*"),
        10: ("tensors", "tensor*"),
        11: ("graphs", "graph*"),
        13: ("doc_string", "inert"),
        14: ("tp", "refused"),
        15: ("type_protos", "refused"),
        20: ("type", "int"),
        21: ("ref_attr_name", "refused"),
        22: ("sparse_tensor", "refused"),
        23: ("sparse_tensors", "refused"),
    },
    "tensor": {
        1: ("dims", "ints*"),
        2: ("data_type", "int"),
        3: ("segment", "refused"),
        4: ("float_data", "fixed32s*"),
        5: ("int32_data", "ints*"),
        6: ("string_data", "refused"),
        7: ("int64_data", "ints*"),
        8: ("name", "text"),
        9: ("raw_data", "inert"),
        10: ("double_data", "fixed64s*"),
        11: ("uint64_data", "refused"),
        12: ("doc_string", "inert"),
        13: ("external_data", "refused"),
        14: ("data_location", "int"),
        16: ("metadata_props", "entry*"),
    },
    "value": {1: ("name", "text"), 2: ("type", "type"), 3: ("doc_string", "inert"), 4: ("metadata_props", "entry*")},
    "type": {
        1: ("tensor_type", "tensor_type"),
        4: ("sequence_type", "refused"),
        5: ("map_type", "refused"),
        6: ("denotation", "text"),
        8: ("sparse_tensor_type", "refused"),
        9: ("optional_type", "refused"),
    },
    "tensor_type": {1: ("elem_type", "int"), 2: ("shape", "shape")},
    "shape": {1: ("dim", "dim*")},
    "dim": {1: ("dim_value", "int"), 2: ("dim_param", "text"), 3: ("denotation", "text")},
}

_WIRES = {"int": {_VARINT}, "fixed32": {_FIXED32}, "ints": {_VARINT, _BYTES}}
_WIRES |= {"fixed32s": {_FIXED32, _BYTES}, "fixed64s": {_FIXED64, _BYTES}}
_WIDTH = {"fixed32s": 4, "fixed64s": 8}

# data_type: name, bytes per element, field of unpacked data
_DTYPES = {
    1: ("float32", 4, "float_data"),
    2: ("uint8", 1, "int32_data"),
    3: ("int8", 1, "int32_data"),
    6: ("int32", 4, "int32_data"),
    7: ("int64", 8, "int64_data"),
    9: ("bool", 1, "int32_data"),
    11: ("float64", 8, "double_data"),
}


@dataclass(frozen=True)
class Value:
    """An input or output of a graph: a text in `shape` is a free dimension, None a shape that is not given."""

    name: str
    dtype: str
    shape: tuple[int | str, ...] | None


@dataclass(frozen=True)
class Tensor:
    """A constant inside the model; `size` in bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int


@dataclass(frozen=True)
class Node:
    """An operation of the main graph: names of what it takes and makes, "" for one that is left out."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    """Inventory of an ONNX file.

    Attributes:
        ir_version: Version of the file format.
        opsets: Version by operator domain.
        inputs: Inputs of the main graph that no initializer supplies.
        outputs: Outputs of the main graph.
        nodes: Operations of the main graph, in the file's order.
        initializers: Names of the main graph's constants.
        ops: How often each (domain, operator) occurs, subgraphs included.
        tensors: Initializers and constants of all graphs.
        subgraphs: Graphs inside nodes.
    """

    ir_version: int
    opsets: dict[str, int]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    initializers: frozenset[str]
    ops: Counter[tuple[str, str]]
    tensors: tuple[Tensor, ...]
    subgraphs: int

    @property
    def parameters(self) -> int:
        """How many floating-point numbers the model carries."""
        return sum(math.prod(t.shape) for t in self.tensors if t.dtype.startswith("float"))


def read_model(raw: bytes) -> Model:
    """Read what a model holds.

    Raises:
        BundleRefused: Not an ONNX model, or one with a part that a policy never needs, such as external data.
    """
    message = _Parser().message(memoryview(raw), "model", 0)
    if "graph" not in message:
        raise _refuse("holds no graph")
    graph = message["graph"][0]
    graphs, tensors, ops = [graph], [], Counter[tuple[str, str]]()
    for inner in graphs:  # grows while it is walked
        tensors += [_tensor(item) for item in inner.get("initializer", ())]
        for node in inner.get("node", ()):
            ops[_domain(_one(node, "domain", "")), _one(node, "op_type", "")] += 1
            for attribute in node.get("attribute", ()):
                graphs += attribute.get("g", []) + attribute.get("graphs", [])
                tensors += [_tensor(item) for item in attribute.get("t", []) + attribute.get("tensors", [])]
    constants = frozenset(_one(item, "name", "") for item in graph.get("initializer", ()))
    inputs = [_value(item) for item in graph.get("input", ())]
    return Model(
        ir_version=_one(message, "ir_version", 0),
        opsets=_opsets(message),
        inputs=tuple(value for value in inputs if value.name not in constants),
        outputs=tuple(_value(item) for item in graph.get("output", ())),
        nodes=tuple(_node(item) for item in graph.get("node", ())),
        initializers=constants,
        ops=ops,
        tensors=tuple(tensors),
        subgraphs=len(graphs) - 1,
    )


class _Parser:
    """Turns protobuf bytes into {field: [values]}; each field and each packed number costs one of MAX_FIELDS."""

    def __init__(self) -> None:
        self.left = MAX_FIELDS

    def message(self, data: memoryview, schema: str, depth: int) -> dict[str, list[Any]]:
        if depth > MAX_DEPTH:
            raise _refuse(f"nested deeper than {MAX_DEPTH} messages")
        fields: dict[str, list[Any]] = {}
        at = 0
        while at < len(data):
            self._spend()
            tag, at = _varint(data, at)
            name, kind = _SCHEMAS[schema].get(tag >> 3, (f"field {tag >> 3}", "unknown"))
            if kind in {"refused", "unknown"}:
                raise _refuse(f"{kind} part '{name}' in a {schema}")
            base = kind.rstrip("*")
            if tag & 7 not in _WIRES.get(base, {_BYTES}):
                raise _refuse(f"'{name}' in a {schema} has wire type {tag & 7}")
            if name in fields and not kind.endswith("*"):
                raise _refuse(f"'{name}' occurs twice in a {schema}")
            at = self._value(data, at, tag & 7, base, fields.setdefault(name, []), depth)
        return fields

    def _value(self, data: memoryview, at: int, wire: int, kind: str, out: list[Any], depth: int) -> int:
        if wire == _VARINT:
            value, at = _varint(data, at)
            out.append(value - (1 << 64) if value >> 63 else value)
            return at
        if wire in {_FIXED32, _FIXED64}:
            out.append(1)
            return _advance(data, at, 4 if wire == _FIXED32 else 8)
        length, at = _varint(data, at)
        end = _advance(data, at, length)
        piece = data[at:end]
        if kind == "text":
            out.append(_text(piece))
        elif kind == "inert":
            out.append(length)
        elif kind == "ints":
            self._packed_ints(piece, out)
        elif kind in _WIDTH:
            if length % _WIDTH[kind]:
                raise _refuse("a packed list is cut off")
            out.append(length // _WIDTH[kind])
        else:
            out.append(self.message(piece, kind, depth + 1))
        return end

    def _packed_ints(self, data: memoryview, out: list[Any]) -> None:
        at = 0
        while at < len(data):
            self._spend()
            value, at = _varint(data, at)
            out.append(value - (1 << 64) if value >> 63 else value)

    def _spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise _refuse(f"more than {MAX_FIELDS} protobuf fields")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value >> 64:
                break
            return value, at + index + 1
    raise _refuse("a number is cut off or longer than 64 bits")


def _advance(data: memoryview, at: int, length: int) -> int:
    if length > len(data) - at:
        raise _refuse("cut off, or a length that exceeds its message")
    return at + length


def _text(piece: memoryview) -> str:
    try:
        return str(piece, "utf-8")
    except UnicodeDecodeError as error:
        raise _refuse("a name is not UTF-8") from error


def _one(message: dict[str, list[Any]], name: str, default: Any) -> Any:
    return message.get(name, [default])[0]


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _opsets(message: dict[str, list[Any]]) -> dict[str, int]:
    opsets: dict[str, int] = {}
    for item in message.get("opset_import", ()):
        domain = _domain(_one(item, "domain", ""))
        if domain in opsets:
            raise _refuse(f"operator set {domain!r} is imported twice")
        opsets[domain] = _one(item, "version", 0)
    return opsets


def _node(message: dict[str, list[Any]]) -> Node:
    return Node(_one(message, "op_type", ""), tuple(message.get("input", ())), tuple(message.get("output", ())))


def _tensor(message: dict[str, list[Any]]) -> Tensor:
    name, code = _one(message, "name", ""), _one(message, "data_type", 0)
    if _one(message, "data_location", 0) != 0:
        raise _refuse(f"tensor {name!r} keeps its data in another file (external data)")
    if code not in _DTYPES:
        raise _refuse(f"tensor {name!r} has data type {code} (allowed: {_dtype_names()})")
    dtype, width, field = _DTYPES[code]
    shape = tuple(message.get("dims", ()))
    if len(shape) > MAX_RANK or any(not 0 <= d <= MAX_ELEMENTS for d in shape) or math.prod(shape) > MAX_ELEMENTS:
        raise _refuse(f"tensor {name!r} is too large")
    count = math.prod(shape)
    if message.keys() & {"raw_data", "float_data", "int32_data", "int64_data", "double_data"} - {"raw_data", field}:
        raise _refuse(f"tensor {name!r} carries data of another type than {dtype}")
    unpacked = message.get(field, [])
    numbers = sum(unpacked) if field in {"float_data", "double_data"} else len(unpacked)
    if _one(message, "raw_data", 0) + numbers * width != count * width or ("raw_data" in message and numbers):
        raise _refuse(f"tensor {name!r} carries more or less data than its shape {shape} says")
    return Tensor(name, dtype, shape, count * width)


def _value(message: dict[str, list[Any]]) -> Value:
    tensor = _one(_one(message, "type", {}), "tensor_type", {})
    code = _one(tensor, "elem_type", 0)
    dtype = _DTYPES[code][0] if code in _DTYPES else f"data type {code}"
    shape = tuple(_dim(dim) for dim in _one(tensor, "shape", {}).get("dim", ())) if "shape" in tensor else None
    return Value(_one(message, "name", ""), dtype, shape)


def _dim(message: dict[str, list[Any]]) -> int | str:
    if "dim_value" in message and "dim_param" in message:
        raise _refuse("a dimension has both a size and a name")
    return _one(message, "dim_value", _one(message, "dim_param", "?"))  # type: ignore[no-any-return]


def _dtype_names() -> str:
    return ", ".join(name for name, _, _ in _DTYPES.values())


def _refuse(fact: str) -> BundleRefused:
    return BundleRefused(f"model.onnx: {fact}")
