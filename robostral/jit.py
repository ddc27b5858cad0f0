"""The one way kernels are compiled: cached, without the GIL, IEEE division, no reordering of float operations."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def kernel(function: F) -> F:
    """Compile `function` with Numba at its first call and keep the machine code on disk.

    Note:
        Numba looks at the file of a kernel only, not at the kernels it calls: after editing a callee in another
        file, run ``make clean-kernels`` (or touch the caller).
    """
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def inlined(function: F) -> F:
    """Compile a helper so that it is pasted into each kernel that calls it; Python itself cannot call it.

    Without entry points for Python and C it compiles in half the time.
    """
    options: Any = {"forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function))
