"""How late the torque channel is: filters in a controller delay it, and a delay looks like friction of another kind."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from robostral.arm import Arm
from robostral.arm.chain import FloatArray
from robostral_policies.identify.base import base_regressor
from robostral_policies.identify.prepare import Motion

GREATEST_S = 0.08
STEP_S = 0.002
WIDTHS = (0.005, 0.02, 0.1)
ROWS = 6000
"""Rows that are enough to tell."""


def find_lag(arm: Arm, motions: Sequence[Motion]) -> float:
    """Find the delay of the torques that lets rigid body and friction explain them best [s]; 0 to `GREATEST_S`."""
    lags = np.arange(0.0, GREATEST_S + STEP_S / 2, STEP_S)
    stride = max(1, sum(len(motion.t) for motion in motions) // ROWS)
    bases = [_explain(arm, motion, stride) for motion in motions]
    joint_bases = [np.concatenate([b[:, j] for b in bases]) for j in range(arm.chain.n)]
    cost = np.zeros(len(lags))
    for A, j in zip(joint_bases, range(arm.chain.n), strict=True):
        U, s, _ = np.linalg.svd(A / np.maximum(np.linalg.norm(A, axis=0), 1e-12), full_matrices=False)
        U = U[:, s > 1e-6 * s[0]]
        for k, lag in enumerate(lags):
            tau = np.concatenate([delayed(motion, lag)[::stride, j] for motion in motions])
            left = tau @ tau - ((U.T @ tau) ** 2).sum()
            cost[k] += np.log(max(float(left), 1e-12))
    return float(lags[int(np.argmin(cost))])


def _explain(arm: Arm, motion: Motion, stride: int) -> FloatArray:
    rows = motion.rows(np.arange(0, len(motion.t), stride))
    Y = base_regressor(arm.chain, rows.q, rows.dq, rows.ddq)
    friction = [np.ones_like(rows.dq), rows.dq, *(np.tanh(rows.dq / width) for width in WIDTHS)]
    return np.concatenate([Y, np.stack(friction, axis=2)], axis=2)


def delayed(motion: Motion, lag: float) -> FloatArray:
    """Return the torques that were recorded `lag` [s] later, shape (m, n); the last stays for the end."""
    at = motion.t + lag
    return np.stack([np.interp(at, motion.t, column) for column in motion.tau.T], axis=1)


def align(motion: Motion, lag: float) -> Motion:
    """Return a motion with its torques brought forward by `lag` [s]; rows that lose theirs are not kept."""
    return replace(motion, tau=delayed(motion, lag), keep=motion.keep & (motion.t + lag <= motion.t[-1] + 1e-9))
