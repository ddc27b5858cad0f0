"""Small symmetric matrices: a factor solves, eigenvectors turn a matrix into its eigenvalues."""

import numpy as np
import pytest

from robostral.control.symmetric import backwards_kernel, diagonalise_kernel, factorise_kernel, forwards_kernel


def positive(seed: int, n: int, spread: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    U, _ = np.linalg.qr(rng.normal(size=(n, n)))
    return (U * np.logspace(0.0, spread, n)) @ U.T


@pytest.mark.parametrize("n", [1, 6, 7])
def test_a_factor_solves(n):
    A, x = positive(n, n, 4.0), np.arange(1.0, n + 1.0)
    L, y = A.copy(), A @ x
    factorise_kernel(L)
    forwards_kernel(L, y)
    backwards_kernel(L, y)
    np.testing.assert_allclose(y, x, rtol=1e-9)


@pytest.mark.parametrize("spread", [0.0, 2.0, 6.0])
def test_eigenvectors_diagonalise(spread):
    A = positive(3, 6, spread)
    B, U = A.copy(), np.empty((6, 6))
    diagonalise_kernel(B, U, 6)
    np.testing.assert_allclose(U @ U.T, np.eye(6), atol=1e-12)
    np.testing.assert_allclose((U.T * np.diag(B)) @ U, A, atol=1e-9 * 10.0**spread)
    np.testing.assert_allclose(sorted(np.diag(B)), np.linalg.eigvalsh(A), rtol=1e-7)
