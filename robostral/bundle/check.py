"""Which models may run: operators on the allow-list, tensors inside the file, shapes as the contract says."""

from robostral.bundle.model import Model, Value
from robostral.contract import Contract
from robostral.errors import BundleRefused

OPSETS = range(13, 24)
"""Versions of ONNX's own operator set that policies may use."""

# Nothing here loops, samples or reads a file. Broadcasting can make much out of little, but never unseen: see trial.py.
_OPERATORS = """
Abs Add BatchNormalization Cast Ceil Clip Concat Constant Cos Div Elu Erf Exp Flatten Floor Gather Gelu Gemm HardSigmoid
HardSwish Identity LayerNormalization LeakyRelu Log MatMul Max Min Mish Mul Neg Pow Reciprocal ReduceMax ReduceMean
ReduceMin ReduceSum Relu Reshape Round Selu Shape Sigmoid Sign Sin Slice Softmax Softplus Softsign Split Sqrt Squeeze
Sub Tanh Transpose Unsqueeze Where
"""
OPERATORS = frozenset(_OPERATORS.split())
"""Operators that a policy may use."""

# Operators whose inputs after the first are numbers that decide the size of the output.
_REDUCTIONS = {"ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"}
_SIZED = {"Reshape", "Slice", "Split", "Squeeze", "Unsqueeze"} | _REDUCTIONS


def check_model(model: Model, contract: Contract) -> None:
    """Refuse a model that a policy of this contract cannot be.

    Raises:
        BundleRefused: Names the operator, operator set, value, input or output, and what is allowed.
    """
    check_graph(model, contract.obs_size, contract.chunk_shape)


def check_graph(model: Model, obs_size: int, chunk_shape: tuple[int, int]) -> None:
    """Refuse a model that is no plain graph from `obs` (rows, obs_size) to `chunk` (rows, *chunk_shape), float32.

    Raises:
        BundleRefused: Names the operator, operator set, value, input or output, and what is allowed.
    """
    _check_operators(model)
    _check_values("input", model.inputs, "obs", (obs_size,))
    _check_values("output", model.outputs, "chunk", chunk_shape)
    _check_sizes(model)


def _check_operators(model: Model) -> None:
    foreign = sorted((model.opsets.keys() | {domain for domain, _ in model.ops}) - {""})
    if foreign:
        raise BundleRefused(f"model.onnx: custom operator domain {foreign[0]!r} (only ONNX's own is allowed)")
    version = model.opsets.get("", 0)
    if version not in OPSETS:
        raise BundleRefused(f"model.onnx: operator set {version} outside [{OPSETS[0]}, {OPSETS[-1]}]")
    unlisted = sorted({op for _, op in model.ops} - OPERATORS)
    if unlisted:
        raise BundleRefused(f"model.onnx: operator {unlisted[0]!r} is not on the allow-list")
    if model.subgraphs:
        raise BundleRefused(f"model.onnx: holds {model.subgraphs} subgraphs; a policy is one plain graph")


def _check_sizes(model: Model) -> None:
    """Refuse sizes that depend on what is observed: no trial could show them all."""
    made, observed = {"", "obs", *model.initializers}, {"obs"}
    for node in model.nodes:
        if not made.issuperset(node.inputs):
            raise BundleRefused(f"model.onnx: {node.op} uses {min({*node.inputs} - made)!r} before it is made")
        if node.op in _SIZED and not observed.isdisjoint(node.inputs[1:]):
            raise BundleRefused(f"model.onnx: what {node.op} makes has a size that depends on the observation")
        if not made.isdisjoint(name for name in node.outputs if name):
            raise BundleRefused(f"model.onnx: {node.op} makes {node.outputs[0]!r}, which is there already")
        made.update(node.outputs)
        if node.op != "Shape" and not observed.isdisjoint(node.inputs):
            observed.update(name for name in node.outputs if name)


def _check_values(kind: str, values: tuple[Value, ...], name: str, shape: tuple[int, ...]) -> None:
    found = [value.name for value in values]
    if found != [name]:
        raise BundleRefused(f"model.onnx: {kind}s are {found}, the contract's only {kind} is '{name}'")
    free, *rest = values[0].shape or (0,)
    if values[0].dtype != "float32" or not isinstance(free, str) or tuple(rest) != shape:
        wanted = ", ".join(map(str, ("rows", *shape)))
        raise BundleRefused(
            f"model.onnx: {kind} '{name}' is {values[0].dtype} {values[0].shape}, the contract says float32 ({wanted})"
        )
