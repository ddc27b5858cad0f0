"""Which friction family each joint has: cross-validation over runs or time blocks, and the simplest that is as good."""

from collections.abc import Sequence

import numpy as np

from robostral.arm.chain import FloatArray
from robostral.identified.friction import FAMILIES, family_mask
from robostral_policies.identify.normal import Mask, Normal

SWEEPS = 2
STANDARD_ERRORS = 1.0
"""A simpler family is taken when its loss against the best is within this many standard errors of that difference..."""
WORTH = 0.1
"""...or below this share of the error itself."""


def masks(families: Sequence[str]) -> Mask:
    """Return the features of each joint's family, shape (n, 23)."""
    return np.stack([family_mask(family) for family in families])


def residual_sigma(normal: Normal, blocks: Sequence[int], mask: Mask, rounds: int = 3) -> FloatArray:
    """Estimate each joint's residual standard deviation by reweighting, shape (n,)."""
    sigma = np.ones(normal.n)
    for _ in range(rounds):
        fit = normal.solve(blocks, mask, sigma)
        errors = np.stack([normal.errors(k, fit.beta, fit.weights) for k in blocks])
        sigma = np.sqrt(np.average(errors, axis=0, weights=normal.rows[list(blocks)]) + 1e-18)
    return sigma


def fold_errors(normal: Normal, folds: Sequence[Sequence[int]], mask: Mask, sigma: FloatArray) -> FloatArray:
    """Compute each joint's mean squared error on every fold, fitted on the others; shape (folds, n)."""
    every = sorted(k for fold in folds for k in fold)
    rows = []
    for fold in folds:
        fit = normal.solve([k for k in every if k not in fold], mask, sigma)
        errors = np.stack([normal.errors(k, fit.beta, fit.weights) for k in fold])
        rows.append(np.average(errors, axis=0, weights=normal.rows[list(fold)]))
    return np.stack(rows)


def choose(
    normal: Normal, folds: Sequence[Sequence[int]], start: Sequence[str]
) -> tuple[list[str], dict[str, list[float]]]:
    """Choose a family for each joint, one joint after the other, the rest as chosen so far.

    Args:
        normal: Sums over blocks.
        folds: Blocks of each fold.
        start: Families to begin with.

    Returns:
        Family of each joint; and for each family the joints' cross-validated mean squared errors in the last sweep.
    """
    families = list(start)
    every = sorted(k for fold in folds for k in fold)
    table: dict[str, list[float]] = {name: [0.0] * normal.n for name in FAMILIES}
    for _ in range(SWEEPS):
        before = list(families)
        sigma = residual_sigma(normal, every, masks(families))
        for j in range(normal.n):
            found = {}
            for name in FAMILIES:
                tried = [*families[:j], name, *families[j + 1 :]]
                found[name] = fold_errors(normal, folds, masks(tried), sigma)[:, j]
                table[name][j] = float(found[name].mean())
            families[j] = simplest(found)
        if families == before:
            break
    return families, table


def simplest(found: dict[str, FloatArray]) -> str:
    """Return the first family, in the order of the list, that is as good as the best on these folds."""
    best = min(found, key=lambda name: float(found[name].mean()))
    for name in FAMILIES:
        loss = found[name] - found[best]
        error = float(loss.std(ddof=1)) / np.sqrt(len(loss))
        if loss.mean() <= max(STANDARD_ERRORS * error, WORTH * float(found[best].mean())):
            return name
    return best
