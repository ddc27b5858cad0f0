"""Atomic loads and stores for kernels: what two processes need to share memory without a lock."""

from collections.abc import Callable
from typing import Any

from numba.core import cgutils, types
from numba.extending import intrinsic

_Codegen = Callable[[Any, Any, Any, Any], Any]


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    view = context.make_array(array_type)(context, builder, array)
    return cgutils.get_item_pointer(context, builder, array_type, view, [index])  # type: ignore[no-untyped-call]


def _loader(ordering: str) -> Callable[[Any, Any, Any], tuple[Any, _Codegen]]:
    def typed(_: Any, array: Any, index: Any) -> tuple[Any, _Codegen]:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.load_atomic(_pointer(context, builder, signature.args[0], *args), ordering, 8)

        return array.dtype(array, types.intp), codegen

    return typed


def _storer(ordering: str) -> Callable[[Any, Any, Any, Any], tuple[Any, _Codegen]]:
    def typed(_: Any, array: Any, index: Any, value: Any) -> tuple[Any, _Codegen]:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            builder.store_atomic(args[2], _pointer(context, builder, signature.args[0], *args[:2]), ordering, 8)
            return context.get_dummy_value()

        return types.void(array, types.intp, array.dtype), codegen

    return typed


def _fencer(ordering: str) -> Callable[[Any], tuple[Any, _Codegen]]:
    def typed(_: Any) -> tuple[Any, _Codegen]:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            builder.fence(ordering)
            return context.get_dummy_value()

        return types.void(), codegen

    return typed


load_relaxed: Any = intrinsic(_loader("monotonic"))
"""`load_relaxed(words, i)`: one whole word, in no particular order."""
load_acquire: Any = intrinsic(_loader("acquire"))
"""`load_acquire(words, i)`: nothing after it is read before it."""
store_relaxed: Any = intrinsic(_storer("monotonic"))
"""`store_relaxed(words, i, value)`: one whole word, in no particular order."""
store_release: Any = intrinsic(_storer("release"))
"""`store_release(words, i, value)`: everything before it is visible first."""
fence_acquire: Any = intrinsic(_fencer("acquire"))
fence_release: Any = intrinsic(_fencer("release"))
