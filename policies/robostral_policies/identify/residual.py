"""What rigid body and friction leave, learned by a small ensemble per joint, and kept only where it proves itself.

A joint's net sees that joint alone: other joints' motion, and the position, fit what is recorded and fail elsewhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral.arm.chain import FloatArray
from robostral_policies.identify.expect import Fold
from robostral_policies.identify.fit import Block, Model
from robostral_policies.identify.residual_net import Ensemble, to_onnx, train

WORTH = 0.05
"""Share of the mean squared error that a joint's residual must take away on folds that it did not see."""
STOPS_SEEN = (3, 5)
"""Columns of the friction state that it sees: the stop operators of 0.01 and 0.1 rad."""


@dataclass(frozen=True, eq=False)
class Residual:
    """What was kept.

    Attributes:
        kept: Joints that have a residual.
        gain: Share of the mean squared error that it takes away, by joint; negative where it harms.
        errors: Errors on folds that were not fitted, residual included where it is kept [N·m], shape (k, n).
        ensemble: The nets; None where none is kept.
        onnx: The same as ONNX.
    """

    kept: list[str]
    gain: list[float]
    errors: FloatArray
    ensemble: Ensemble | None
    onnx: bytes | None

    def predict(self, model: Model, block: Block) -> FloatArray:
        """Compute the residual torques of a block [N·m], shape (m, n)."""
        if self.ensemble is None:
            return np.zeros(block.motion.tau.shape)
        return self.ensemble.predict(inputs(model, block))[:, 0].astype(np.float64)


def inputs(model: Model, block: Block) -> NDArray[np.float32]:
    """Return what the residual sees, shape (m, n * 5): by joint dq, ddq, rigid-body torque, two stop operators."""
    motion = block.motion
    parts = [motion.dq, motion.ddq, block.Y @ model.beta, *(motion.states[:, :, k] for k in STOPS_SEEN)]
    return np.stack(parts, axis=2).reshape(len(motion.t), -1).astype(np.float32)


def keep_residual(
    arm: Arm,
    blocks: Sequence[Block],
    cross: Sequence[Fold],
    model: Model,
    seed: int,
    note: Callable[[str], None],
) -> Residual:
    """Train the residual on errors of folds that were not fitted, and keep it where it helps on a further fold.

    Args:
        arm: The arm.
        blocks: What was fitted.
        cross: The fits without each fold.
        model: The fit of all.
        seed: Of the weights.
        note: Told what was kept.
    """
    x = [np.concatenate([inputs(fold.model, blocks[k])[blocks[k].keep] for k in fold.blocks]) for fold in cross]
    e = [fold.errors for fold in cross]
    after = []
    for f in range(len(cross)):
        others = [g for g in range(len(cross)) if g != f]
        net = train(np.concatenate([x[g] for g in others]), np.concatenate([e[g] for g in others]), seed)
        after.append(e[f] - net.predict(x[f])[:, 0])
    before = np.stack([(part**2).mean(axis=0) for part in e])
    left = np.stack([(part**2).mean(axis=0) for part in after])
    gain = 1.0 - left.mean(axis=0) / before.mean(axis=0)
    # A gain that one fold alone brings is luck.
    keep = (gain > WORTH) & ((left < before).mean(axis=0) > 0.5)
    errors = np.where(keep, np.concatenate(after), np.concatenate(e))
    kept = [name for name, is_kept in zip(arm.chain.joint_names, keep, strict=True) if is_kept]
    note(f"residual kept for: {', '.join(kept) or 'no joint'}")
    if not kept:
        return Residual([], gain.tolist(), errors, None, None)
    ensemble = train(np.concatenate(x), np.concatenate(e), seed).only(torch.from_numpy(keep))
    return Residual(kept, gain.tolist(), errors, ensemble, to_onnx(ensemble))
