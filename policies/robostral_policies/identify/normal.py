"""Normal equations by block and joint: every split, weighting and friction family is a sum and a small solve."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from robostral.arm.chain import FloatArray
from robostral.identified.friction import FEATURES

_RIDGE = 1e-6
"""Relative to each column's own length: only keeps a solve from breaking where a column is nearly nothing."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Fit:
    """A solution.

    Attributes:
        beta: Base parameters, shape (b,).
        weights: Friction weights, shape (n, 23).
        information: Information matrix of `beta`, friction taken out, in units of the weighted residual, shape (b, b).
    """

    beta: FloatArray
    weights: FloatArray
    information: FloatArray


class Normal:
    """Sums over the rows of blocks.

    Args:
        blocks: For each block Y (m, n, b), friction features (m, n, 23) and torques (m, n).

    Attributes:
        rows: Rows of each block, shape (k,).
    """

    def __init__(self, blocks: Sequence[tuple[FloatArray, FloatArray, FloatArray]]) -> None:
        self.b, self.n = blocks[0][0].shape[2], blocks[0][0].shape[1]
        size = self.b + FEATURES
        self.rows = np.array([len(tau) for _, _, tau in blocks], dtype=np.float64)
        self._G = np.zeros((len(blocks), self.n, size, size))
        self._h = np.zeros((len(blocks), self.n, size))
        self._c = np.zeros((len(blocks), self.n))
        for k, (Y, F, tau) in enumerate(blocks):
            for j in range(self.n):
                A = np.concatenate([Y[:, j], F[:, j]], axis=1)
                self._G[k, j], self._h[k, j], self._c[k, j] = A.T @ A, A.T @ tau[:, j], tau[:, j] @ tau[:, j]

    def solve(self, blocks: Sequence[int], mask: Mask, sigma: FloatArray) -> Fit:
        """Fit base parameters, shared by all joints, and each joint's own friction.

        Args:
            blocks: Which blocks to fit.
            mask: Features of each joint's family, shape (n, 23).
            sigma: Standard deviation of each joint's residual, the weighting, shape (n,).
        """
        G, h, b = self._G[list(blocks)].sum(0), self._h[list(blocks)].sum(0), self.b
        S, s, parts = np.zeros((b, b)), np.zeros(b), []
        for j in range(self.n):
            own = b + np.flatnonzero(mask[j])
            Gff = G[j][np.ix_(own, own)]
            factor = cho_factor(Gff + np.diag(_RIDGE * np.diag(Gff) + 1e-12))
            Gfy, hf = G[j][own, :b], h[j][own]
            parts.append((own - b, factor, Gfy, hf))
            S += (G[j][:b, :b] - Gfy.T @ cho_solve(factor, Gfy)) / sigma[j] ** 2
            s += (h[j][:b] - Gfy.T @ cho_solve(factor, hf)) / sigma[j] ** 2
        beta = cho_solve(cho_factor(S + np.diag(_RIDGE * np.diag(S) + 1e-12)), s)
        return Fit(beta, self._friction(parts, beta), S)

    def friction(self, blocks: Sequence[int], mask: Mask, beta: FloatArray) -> FloatArray:
        """Fit friction alone, beside given base parameters; shape (n, 23)."""
        G, h, b = self._G[list(blocks)].sum(0), self._h[list(blocks)].sum(0), self.b
        parts = []
        for j in range(self.n):
            own = b + np.flatnonzero(mask[j])
            Gff = G[j][np.ix_(own, own)]
            factor = cho_factor(Gff + np.diag(_RIDGE * np.diag(Gff) + 1e-12))
            parts.append((own - b, factor, G[j][own, :b], h[j][own]))
        return self._friction(parts, beta)

    def _friction(
        self, parts: list[tuple[NDArray[np.int64], object, FloatArray, FloatArray]], beta: FloatArray
    ) -> FloatArray:
        weights = np.zeros((self.n, FEATURES))
        for j, (own, factor, Gfy, hf) in enumerate(parts):
            weights[j, own] = cho_solve(factor, hf - Gfy @ beta)
        return weights

    def errors(self, block: int, beta: FloatArray, weights: FloatArray) -> FloatArray:
        """Compute each joint's mean squared error on a block [N²·m²], shape (n,)."""
        x = np.concatenate([np.broadcast_to(beta, (self.n, self.b)), weights], axis=1)
        G, h, c = self._G[block], self._h[block], self._c[block]
        squares = c - 2.0 * np.einsum("ji,ji->j", h, x) + np.einsum("ji,jik,jk->j", x, G, x)
        found: FloatArray = np.maximum(squares, 0.0) / self.rows[block]
        return found
