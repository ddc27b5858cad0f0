"""The fit: base parameters shared by all joints, friction by family, consistent inertias, and what to expect of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral.arm.chain import FloatArray
from robostral.identified.friction import FEATURES, PLAIN, feature_batch_kernel
from robostral.kinematics.regressor import parameters
from robostral_policies.identify.base import base_regressor, condition, find_base
from robostral_policies.identify.choose import choose, masks, residual_sigma
from robostral_policies.identify.log import LogRefused
from robostral_policies.identify.normal import Fit, Normal
from robostral_policies.identify.physical import consistent
from robostral_policies.identify.prepare import Motion

FOLDS = 5
BLOCK_GAP_S = 0.2
"""Left out on both sides of a border between blocks: filters and slow friction reach across it."""
WORST_CONDITION = 1000.0
"""Greatest condition number of the base regressor, columns scaled; beyond it some parameter is noise."""
ROUNDS = 3
"""The load in load-dependent friction is the rigid-body torque of the round before."""

Note = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Block:
    """A stretch of samples that is fitted or held out as a whole, with what linear fits need of it."""

    motion: Motion
    Y: FloatArray
    keep: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Model:
    """What a fit found.

    Attributes:
        fit: Base parameters and friction before the inertias were made consistent.
        pi: Consistent inertial parameters, shape (n, 10).
        rotor: Rotor inertias [kg·m²], shape (n,).
        beta: Base parameters of these, shape (b,).
        weights: Friction beside them, shape (n, 23).
        families: Friction family of each joint.
        sigma: Standard deviation of each joint's residual on what was fitted [N·m], shape (n,).
        errors: Standard error of each base parameter, shape (b,).
    """

    fit: Fit
    pi: FloatArray
    rotor: FloatArray
    beta: FloatArray
    weights: FloatArray
    families: tuple[str, ...]
    sigma: FloatArray
    errors: FloatArray

    def predict(self, block: Block) -> FloatArray:
        """Compute the torques of a block [N·m], shape (m, n)."""
        rigid = block.Y @ self.beta
        found: FloatArray = rigid + np.einsum("mjk,jk->mj", features(block.motion, np.abs(rigid)), self.weights)
        return found

    def friction(self, block: Block) -> FloatArray:
        """Compute the friction part of a block's torques [N·m], shape (m, n)."""
        found: FloatArray = np.einsum("mjk,jk->mj", features(block.motion, np.abs(block.Y @ self.beta)), self.weights)
        return found


def features(motion: Motion, load: FloatArray) -> FloatArray:
    """Compute the friction features of a motion under a load (m, n) [N·m], shape (m, n, 23)."""
    out = np.empty((*load.shape, FEATURES))
    feature_batch_kernel(
        np.ascontiguousarray(motion.states), np.ascontiguousarray(motion.dq), np.ascontiguousarray(load), out
    )
    return out


def make_blocks(arm: Arm, motions: Sequence[Motion], blocks: int = FOLDS) -> tuple[list[Block], list[list[int]]]:
    """Cut motions into blocks, and blocks into folds: by run where there are three or more, else by time.

    Returns:
        Blocks, and the blocks of each fold.
    """
    runs = sorted({motion.run for motion in motions})
    total = sum(len(motion.t) for motion in motions)
    by_run = len(runs) >= 3
    found: list[Block] = []
    folds: list[list[int]] = []
    for motion in motions:
        parts = 1 if by_run else max(1, round(blocks * len(motion.t) / total))
        found += _split(arm, motion, parts)
    if by_run:
        folds = [[k for k, block in enumerate(found) if block.motion.run == run] for run in runs]
    else:
        folds = [[k] for k in range(len(found))]
    return found, folds


def _split(arm: Arm, motion: Motion, parts: int) -> list[Block]:
    Y = base_regressor(arm.chain, motion.q, motion.dq, motion.ddq)
    gap = round(BLOCK_GAP_S / motion.dt)
    blocks = []
    for k, rows in enumerate(np.array_split(np.arange(len(motion.t)), parts)):
        part = motion.rows(rows)
        keep = part.keep.copy()
        keep[: gap if k else 0] = False
        keep[len(keep) - (gap if k < parts - 1 else 0) :] = False
        blocks.append(Block(part, Y[rows], keep))
    return blocks


def check_excitation(arm: Arm, blocks: Sequence[Block]) -> float:
    """Compute the condition number of the base regressor, and refuse motion that leaves a parameter open.

    Raises:
        LogRefused: Names the parameters, and the joints whose motion is missing.
    """
    Y = np.concatenate([block.Y[block.keep] for block in blocks])
    found = condition(Y)
    if found <= WORST_CONDITION:
        return found
    base = find_base(arm.chain)
    W = Y.reshape(-1, Y.shape[2])
    length = np.maximum(np.linalg.norm(W, axis=0), 1e-300)
    _, vectors = np.linalg.eigh((W / length).T @ (W / length))
    names = base.names(arm.chain)
    weak = [names[i] for i in np.argsort(-np.abs(vectors[:, 0]))[:3]]
    dq = np.concatenate([block.motion.dq for block in blocks])
    still = arm.chain.joint_names[int(np.argmin(dq.std(axis=0) / arm.limits.array[2]))]
    raise LogRefused(
        f"condition number {found:.3g} of the base regressor (at most {WORST_CONDITION:.0f}): {', '.join(weak)} cannot"
        f" be told apart; all joints must move at once and differently, joint '{still}' most of all"
        f" (`robostral excite --arm {arm.name}` designs such a motion)"
    )


def least_squares(blocks: Sequence[Block]) -> Callable[[Block], FloatArray]:
    """Fit what everybody fits first: inertial parameters, viscous and tanh Coulomb friction, an offset; no weighting.

    Returns:
        The torques that it predicts for a block.
    """
    normal = Normal([_rows(block, features(block.motion, np.abs(block.motion.tau))) for block in blocks])
    n = normal.n
    plain = np.isin(np.arange(FEATURES), PLAIN)
    fit = normal.solve(range(len(blocks)), np.tile(plain, (n, 1)), np.ones(n))

    def predict(block: Block) -> FloatArray:
        friction = np.einsum("mjk,jk->mj", features(block.motion, np.abs(block.motion.tau)), fit.weights)
        found: FloatArray = block.Y @ fit.beta + friction
        return found

    return predict


def fit_published(arm: Arm, blocks: Sequence[Block], families: Sequence[str]) -> Callable[[Block], FloatArray]:
    """Fit friction alone beside the published inertias.

    Returns:
        The torques that they predict for a block.
    """
    base = find_base(arm.chain)
    beta = base.combine @ np.concatenate([parameters(arm.chain), np.zeros(arm.chain.n)])
    normal = Normal([_rows(block, features(block.motion, np.abs(block.Y @ beta))) for block in blocks])
    weights = normal.friction(range(len(blocks)), masks(families), beta)

    def predict(block: Block) -> FloatArray:
        rigid = block.Y @ beta
        found: FloatArray = rigid + np.einsum("mjk,jk->mj", features(block.motion, np.abs(rigid)), weights)
        return found

    return predict


def _rows(block: Block, F: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    return block.Y[block.keep], F[block.keep], block.motion.tau[block.keep]


def fit_families(
    blocks: Sequence[Block], folds: Sequence[Sequence[int]], note: Note
) -> tuple[tuple[str, ...], dict[str, list[float]]]:
    """Choose each joint's friction family.

    Returns:
        The families, and the cross-validated mean squared error of each family, by joint.
    """
    n = blocks[0].Y.shape[1]
    families, table = ["viscous_coulomb"] * n, dict[str, list[float]]()
    loads = [np.zeros(block.motion.q.shape) for block in blocks]
    for round_ in range(ROUNDS):
        normal = Normal([_rows(b, features(b.motion, load)) for b, load in zip(blocks, loads, strict=True)])
        if round_:
            families, table = choose(normal, folds, families)
            note(f"friction, round {round_}: {', '.join(families)}")
        every = range(len(blocks))
        fit = normal.solve(every, masks(families), residual_sigma(normal, every, masks(families)))
        loads = [np.abs(block.Y @ fit.beta) for block in blocks]
    return tuple(families), table


def fit_model(arm: Arm, blocks: Sequence[Block], families: Sequence[str]) -> Model:
    """Fit an arm with given friction families, and make its inertias consistent."""
    mask, every = masks(families), range(len(blocks))
    loads = [np.zeros(block.motion.q.shape) for block in blocks]
    for _ in range(ROUNDS):
        normal = Normal([_rows(b, features(b.motion, load)) for b, load in zip(blocks, loads, strict=True)])
        sigma = residual_sigma(normal, every, mask)
        fit = normal.solve(every, mask, sigma)
        loads = [np.abs(block.Y @ fit.beta) for block in blocks]
    base = find_base(arm.chain)
    slow = _correlation(blocks, fit, loads)
    information = fit.information / slow
    pi, rotor = consistent(arm.chain, base, fit.beta, information)
    beta = base.combine @ np.concatenate([pi.ravel(), rotor])
    loads = [np.abs(block.Y @ beta) for block in blocks]
    normal = Normal([_rows(b, features(b.motion, load)) for b, load in zip(blocks, loads, strict=True)])
    size = np.sqrt(np.diag(information))
    errors = np.sqrt(np.diag(np.linalg.inv(information / np.outer(size, size)))) / size
    return Model(fit, pi, rotor, beta, normal.friction(every, mask, beta), tuple(families), sigma, errors)


def _correlation(blocks: Sequence[Block], fit: Fit, loads: Sequence[FloatArray]) -> float:
    """Estimate how many samples say as much as one independent one, from the residuals' autocorrelation."""
    found = []
    for block, load in zip(blocks, loads, strict=True):
        model = block.Y @ fit.beta + np.einsum("mjk,jk->mj", features(block.motion, load), fit.weights)
        for e in (block.motion.tau - model).T:
            e = e - e.mean()
            spectrum = np.abs(np.fft.rfft(e, 2 * len(e))) ** 2
            auto = np.fft.irfft(spectrum)[: len(e)]
            auto = auto / max(auto[0], 1e-300)
            end = int(np.argmax(auto < 0.05)) or len(auto)
            found.append(1.0 + 2.0 * auto[1:end].sum())
    return float(np.median(found))
