"""Motor constants: logs that hold motor currents instead of torques.

Currents give every ratio between joints, but no scale: a heavier arm with stronger motors draws the same. The scale is
taken from the published inertias, through the joint that carries most against gravity; the report says so.
"""

from collections.abc import Sequence

import numpy as np

from robostral.arm import Arm
from robostral.arm.chain import FloatArray
from robostral.arm.limits import TAU
from robostral.kinematics.rnea import rnea
from robostral_policies.identify.base import base_regressor
from robostral_policies.identify.log import LogRefused
from robostral_policies.identify.prepare import Motion

WIDTH = 0.02


def motor_constants(arm: Arm, motions: Sequence[Motion]) -> FloatArray:
    """Estimate each joint's torque per current as seen after the gear [N·m/A], shape (n,).

    Raises:
        LogRefused: A joint's current does not follow what its motion asks for.
    """
    q, dq, ddq, i = (np.concatenate([getattr(m, name)[m.keep] for m in motions]) for name in ("q", "dq", "ddq", "tau"))
    n = arm.chain.n
    known = rnea(arm.chain, q, dq, ddq)
    lead = int(np.argmax(known.std(axis=0)))
    friction = [np.stack([np.tanh(dq[:, j] / WIDTH), dq[:, j], np.ones(len(dq))], axis=1) for j in range(n)]
    # Current over torque, not the other way round: the noise is in the current.
    A = np.concatenate([known[:, [lead]], friction[lead]], axis=1)
    per_torque = float(np.linalg.lstsq(A, i[:, lead], rcond=None)[0][0])
    if per_torque <= 0.0:
        raise LogRefused(
            f"current of joint '{arm.chain.joint_names[lead]}' falls where gravity asks for more: its sign?"
        )
    return _others(arm, (q, dq, ddq, i), friction, lead, 1.0 / per_torque)


def _others(
    arm: Arm, data: tuple[FloatArray, ...], friction: list[FloatArray], lead: int, constant: float
) -> FloatArray:
    """Fit base parameters, friction and the other joints' constants together, the leading joint's constant given."""
    q, dq, ddq, i = data
    n, m = arm.chain.n, len(q)
    Y = base_regressor(arm.chain, q, dq, ddq)
    b, columns = Y.shape[2], [j for j in range(n) if j != lead]
    A = np.zeros((n * m, b + 3 * n + n - 1))
    target = np.zeros(n * m)
    size = i.std(axis=0)
    for j in range(n):
        rows = slice(j * m, (j + 1) * m)
        A[rows, :b] = Y[:, j]
        A[rows, b + 3 * j : b + 3 * j + 3] = friction[j]
        if j == lead:
            target[rows] = constant * i[:, j]
        else:
            A[rows, b + 3 * n + columns.index(j)] = -i[:, j]
    weights = np.repeat(1.0 / np.maximum(_spread(arm, i, size, constant), 1e-12), m)
    x = np.linalg.lstsq(A * weights[:, None], target * weights, rcond=None)[0]
    found = np.empty(n)
    found[lead] = constant
    found[columns] = x[b + 3 * n :]
    for j in range(n):
        if not found[j] > 0.0:
            raise LogRefused(
                f"motor constant of joint '{arm.chain.joint_names[j]}' comes out as {found[j]:.3g} N·m/A: is its sign"
                " right? move it against gravity, or fast, so that its current says something"
            )
    return found


def _spread(arm: Arm, i: FloatArray, size: FloatArray, constant: float) -> FloatArray:
    """Guess the size of each joint's torque [N·m], for weights only."""
    found: FloatArray = np.minimum(arm.limits.array[TAU] * 0.2, constant * size)
    return found
