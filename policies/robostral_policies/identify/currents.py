"""Motor constants: logs that hold motor currents instead of torques.

Currents have no scale of their own: a heavier arm with stronger motors draws the same. The scale of each joint is taken
from the published inertias; what identification then finds out is how the arm differs from them in everything else.
"""

from collections.abc import Sequence

import numpy as np

from robostral.arm import Arm
from robostral.arm.chain import FloatArray
from robostral.arm.limits import TAU
from robostral.kinematics.rnea import rnea
from robostral_policies.identify.log import LogRefused
from robostral_policies.identify.prepare import Motion

WIDTHS = (0.005, 0.02, 0.1)
LEAST_SHARE = 0.05
"""Of a joint's current that only its rigid-body torque explains; below it, the current says nothing about a scale."""


def motor_constants(arm: Arm, motions: Sequence[Motion]) -> tuple[FloatArray, list[str]]:
    """Estimate each joint's torque per current as seen after the gear.

    A joint whose current is all friction and rotor takes the constant of the joint that is nearest in torque limit:
    such joints share their drives.

    Returns:
        The constants [N·m/A], shape (n,), and a doubt for each that was not measured.

    Raises:
        LogRefused: A joint's current has the wrong sign, or no joint carries anything.
    """
    q, dq, ddq, i = (np.concatenate([getattr(m, name)[m.keep] for m in motions]) for name in ("q", "dq", "ddq", "tau"))
    known, found = rnea(arm.chain, q, dq, ddq), np.full(arm.chain.n, np.nan)
    for j, name in enumerate(arm.chain.joint_names):
        # Current over torque, not the other way round: what is not known is in the current. A rotor adds to it.
        columns = [ddq[:, j], dq[:, j], np.ones(len(dq)), *(np.tanh(dq[:, j] / w) for w in WIDTHS)]
        rest = np.stack(columns, axis=1)
        alone = known[:, j] - rest @ np.linalg.lstsq(rest, known[:, j], rcond=None)[0]
        per_torque = float(alone @ i[:, j] / max(float(alone @ alone), 1e-300))
        if abs(per_torque) * alone.std() < LEAST_SHARE * i[:, j].std():
            continue
        if per_torque < 0.0:
            raise LogRefused(
                f"current of joint '{name}' falls where its motion asks for more torque: is its sign right?"
            )
        found[j] = 1.0 / per_torque
    return _filled(arm, found)


def _filled(arm: Arm, found: FloatArray) -> tuple[FloatArray, list[str]]:
    measured, limit = np.flatnonzero(np.isfinite(found)), arm.limits.array[TAU]
    if not len(measured):
        raise LogRefused("no joint's current follows the torque of its motion: move against gravity, and faster")
    doubts, filled = [], found.copy()
    for j in np.flatnonzero(np.isnan(found)):
        near = measured[int(np.argmin(np.abs(np.log(limit[measured] / limit[j]))))]
        filled[j] = found[near]
        names = arm.chain.joint_names
        doubts.append(f"current of '{names[j]}' is all friction: it takes the motor constant of '{names[near]}'")
    return filled, doubts
