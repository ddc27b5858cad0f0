"""Small symmetric matrices inside kernels: Cholesky's factor with its solutions, and eigenvalues.

Note:
    Golub and Van Loan, Matrix Computations (2013), section 4.2 and, for Jacobi's rotations, 8.5. The factor's diagonal
    is kept inverted, so that a solution needs no division. Real-time: no allocation.
"""

import math

from robostral.arm.chain import FloatArray
from robostral.jit import kernel

SWEEPS = 8
"""Sweeps over all pairs at most; six rows need four to five."""
_SMALL = 1e-20


@kernel
def factorise_kernel(A: FloatArray) -> None:
    """Replace the lower half of a positive definite matrix, shape (n, n), by its factor L, diagonal inverted."""
    for i in range(A.shape[0]):
        for j in range(i + 1):
            total = A[i, j]
            for k in range(j):
                total -= A[i, k] * A[j, k]
            A[i, j] = 1.0 / math.sqrt(total) if i == j else total * A[j, j]


@kernel
def forwards_kernel(L: FloatArray, x: FloatArray) -> None:
    """Replace x, shape (n,), by the solution y of L y = x."""
    for i in range(L.shape[0]):
        total = x[i]
        for k in range(i):
            total -= L[i, k] * x[k]
        x[i] = total * L[i, i]


@kernel
def backwards_kernel(L: FloatArray, x: FloatArray) -> None:
    """Replace x, shape (n,), by the solution y of L' y = x."""
    for i in range(L.shape[0] - 1, -1, -1):
        total = x[i]
        for k in range(i + 1, L.shape[0]):
            total -= L[k, i] * x[k]
        x[i] = total * L[i, i]


@kernel
def diagonalise_kernel(B: FloatArray, U: FloatArray, n: int) -> None:
    """Turn the symmetric matrix in the first n rows and columns of B into its eigenvalues, on the diagonal.

    Args:
        B: Matrix, at least (n, n); its upper half is used.
        U: Filled with the eigenvectors, one per row, at least (n, n).
        n: Size.
    """
    for i in range(n):
        for j in range(n):
            U[i, j] = 1.0 if i == j else 0.0
    for _ in range(SWEEPS):
        off, trace = 0.0, 0.0
        for i in range(n):
            trace += B[i, i] * B[i, i]
            for j in range(i + 1, n):
                off += B[i, j] * B[i, j]
        if not off > _SMALL * trace:
            break
        for i in range(n - 1):
            for j in range(i + 1, n):
                _rotate(B, U, i, j, n)


@kernel
def _rotate(B: FloatArray, U: FloatArray, i: int, j: int, n: int) -> None:
    """Make entry (i, j) zero by a rotation of rows and columns i and j."""
    if B[i, j] == 0.0:
        return
    theta = (B[j, j] - B[i, i]) / (2.0 * B[i, j])
    t = math.copysign(1.0, theta) / (abs(theta) + math.sqrt(theta * theta + 1.0))
    c = 1.0 / math.sqrt(t * t + 1.0)
    s = t * c
    B[i, i], B[j, j], B[i, j] = B[i, i] - t * B[i, j], B[j, j] + t * B[i, j], 0.0
    for k in range(i):
        B[k, i], B[k, j] = c * B[k, i] - s * B[k, j], s * B[k, i] + c * B[k, j]
    for k in range(i + 1, j):
        B[i, k], B[k, j] = c * B[i, k] - s * B[k, j], s * B[i, k] + c * B[k, j]
    for k in range(j + 1, n):
        B[i, k], B[j, k] = c * B[i, k] - s * B[j, k], s * B[i, k] + c * B[j, k]
    for k in range(n):
        U[i, k], U[j, k] = c * U[i, k] - s * U[j, k], s * U[i, k] + c * U[j, k]
