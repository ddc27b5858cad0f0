"""The one way kernels are compiled: cached, without the GIL, IEEE division, no reordering of float operations."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def kernel(function: F) -> F:
    """Compile `function` with Numba at its first call and keep the machine code on disk.

    It cannot make an array: Numba refuses `np.empty`, `copy` and rows assigned as a whole ("NRT required", "Only accept
    returning of array passed"). So nothing is allocated or counted, neither inside nor for each argument of a call from
    Python, which takes a third less time.

    Note:
        Numba looks at the file of a kernel only, not at the kernels it calls: after editing a callee in another
        file, run ``make clean-kernels`` (or touch the caller).
    """
    return _compiled(function, _nrt=False)


def allocating(function: F) -> F:
    """Compile as `kernel` does what makes arrays of its own: for plans and campaigns, never for a tick."""
    return _compiled(function, _nrt=True)  # said, or it would inherit what its caller is


def inlined(function: F) -> F:
    """Compile a helper so that it is pasted into each kernel that calls it; Python itself cannot call it.

    Without entry points for Python and C it compiles in half the time.
    """
    return _compiled(function, _nrt=False, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def _compiled(function: F, **options: Any) -> F:
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function))
