"""Joint friction as numbers: one fixed list of features, a weight for each, zero where a family does not have it.

All families share the list, so that a control kernel needs no branch and identification stays linear. What is not
linear (velocities, radii, widths) is fixed here, for every arm and every log.

Note:
    Stribeck: Armstrong-Hélouvry, Dupont, Canudas de Wit, Automatica 30 (1994). Stop operators on displacement:
    the generalised Maxwell-slip structure, Al-Bender, Lampaert, Swevers, IEEE TAC 50 (2005). Real-time: no allocation.
"""

import math

import numpy as np
from numpy.typing import NDArray

from robostral.arm.chain import FloatArray
from robostral.jit import kernel

RADII = (0.001, 0.003, 0.01, 0.03, 0.1)
"""Radii of the stop operators [rad]: displacement after a reversal at which each slips."""
STRIBECK = (0.02, 0.06, 0.15, 0.4)
"""Velocities at which the Stribeck terms have faded [rad/s]."""
WIDTH, SHARP = 0.02, 0.005
"""Velocities at which Coulomb friction has built up [rad/s]; a weight each. Slower motion has no certain sign."""

OFFSET, VISCOUS, COULOMB, STEEP, FADING, ABS_SPEED, ABS_SIGN, LOAD, SQUARE, CUBE, STOPS, LOADED_STOPS = (
    0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 18,
)  # fmt: skip
"""First column of each feature; FADING has 4, STOPS and LOADED_STOPS have 5."""
FEATURES = 23
STATE_COLUMNS = 1 + len(RADII)
"""State of a joint: last position (NaN before the first), then the stop operators in -1 to 1."""

PLAIN = (OFFSET, VISCOUS, COULOMB)
"""What everybody fits first."""
_PLAIN = (*PLAIN, STEEP)
_FADING = tuple(range(FADING, FADING + 4))
_STOPS = tuple(range(STOPS, STOPS + 5))
FAMILIES: dict[str, tuple[int, ...]] = {
    "viscous_coulomb": _PLAIN,
    "load": (*_PLAIN, LOAD),
    "asymmetric": (*_PLAIN, ABS_SPEED, ABS_SIGN),
    "stribeck": (*_PLAIN, *_FADING),
    "maxwell": (*PLAIN, *_STOPS),
    "maxwell_load": (*_PLAIN, *_FADING, SQUARE, CUBE, *_STOPS, *range(LOADED_STOPS, LOADED_STOPS + 5)),
}
"""Features of each family, simplest first; there is no other."""

_R0, _R1, _R2, _R3, _R4 = RADII
_V0, _V1, _V2, _V3 = STRIBECK


def family_mask(family: str) -> NDArray[np.bool_]:
    """Return which features a family has, shape (23,)."""
    mask = np.zeros(FEATURES, dtype=np.bool_)
    mask[list(FAMILIES[family])] = True
    return mask


def new_state(n: int) -> FloatArray:
    """Return the state of `n` joints whose past is not known, shape (n, 6)."""
    state = np.zeros((n, STATE_COLUMNS))
    state[:, 0] = np.nan
    return state


@kernel
def stop_kernel(state: FloatArray, q: float) -> None:
    """Move the stop operators of one joint, shape (6,), on to position `q` [rad]."""
    step = q - state[0] if math.isfinite(state[0]) else 0.0
    state[0] = q
    state[1] = min(max(state[1] + step / _R0, -1.0), 1.0)
    state[2] = min(max(state[2] + step / _R1, -1.0), 1.0)
    state[3] = min(max(state[3] + step / _R2, -1.0), 1.0)
    state[4] = min(max(state[4] + step / _R3, -1.0), 1.0)
    state[5] = min(max(state[5] + step / _R4, -1.0), 1.0)


@kernel
def feature_kernel(state: FloatArray, dq: float, load: float, out: FloatArray) -> None:
    """Fill the features of one joint.

    Args:
        state: Its stop operators, shape (6,).
        dq: Velocity [rad/s].
        load: Magnitude of the rigid-body torque [N·m].
        out: Filled, shape (23,); weights for them are in N·m.
    """
    sign = math.tanh(dq / SHARP)
    out[OFFSET] = 1.0
    out[VISCOUS] = dq
    out[COULOMB] = math.tanh(dq / WIDTH)
    out[STEEP] = sign
    out[FADING] = sign * math.exp(-((dq / _V0) ** 2))
    out[FADING + 1] = sign * math.exp(-((dq / _V1) ** 2))
    out[FADING + 2] = sign * math.exp(-((dq / _V2) ** 2))
    out[FADING + 3] = sign * math.exp(-((dq / _V3) ** 2))
    out[ABS_SPEED] = abs(dq)
    out[ABS_SIGN] = abs(sign)
    out[LOAD] = sign * load
    out[SQUARE] = dq * abs(dq)
    out[CUBE] = dq * dq * dq
    for k in range(5):
        out[STOPS + k] = state[1 + k]
        out[LOADED_STOPS + k] = state[1 + k] * load


@kernel
def stop_batch_kernel(q: FloatArray, state: FloatArray, states: FloatArray) -> None:
    """Fill the states along a recorded motion: positions (m, n) [rad], state before it (n, 6), states (m, n, 6)."""
    for i in range(q.shape[0]):
        for j in range(q.shape[1]):
            stop_kernel(state[j], q[i, j])
            for k in range(STATE_COLUMNS):
                states[i, j, k] = state[j, k]


@kernel
def feature_batch_kernel(states: FloatArray, dq: FloatArray, load: FloatArray, out: FloatArray) -> None:
    """Apply `feature_kernel` to rows: states (m, n, 6), velocities (m, n), loads (m, n); fills `out` (m, n, 23)."""
    for i in range(dq.shape[0]):
        for j in range(dq.shape[1]):
            feature_kernel(states[i, j], dq[i, j], load[i, j], out[i, j])


@kernel
def friction_kernel(
    weights: FloatArray,
    state: FloatArray,
    q: FloatArray,
    dq: FloatArray,
    load: FloatArray,
    row: FloatArray,
    tau: FloatArray,
) -> None:
    """Compute the friction torques of one tick, and move the state on.

    Args:
        weights: Weight of every feature, shape (n, 23).
        state: State of the joints, shape (n, 6).
        q: Positions [rad], shape (n,).
        dq: Velocities [rad/s], shape (n,).
        load: Magnitudes of the rigid-body torques [N·m], shape (n,).
        row: Work space, shape (23,).
        tau: Filled with what the motor must add against friction [N·m], shape (n,).
    """
    for j in range(q.shape[0]):
        stop_kernel(state[j], q[j])
        feature_kernel(state[j], dq[j], load[j], row)
        total = 0.0
        for k in range(FEATURES):
            total += weights[j, k] * row[k]
        tau[j] = total
