"""Inertias that a real body can have, nearest to the fitted base parameters: ten free numbers a link, log-Cholesky.

Note:
    Rucker, Wensing, "Smooth parameterization of rigid-body inertia", IEEE RA-L 7 (2022): the pseudo-inertia is
    U Uᵀ with exp on the diagonal, so that every number gives a positive mass and a consistent tensor. Solved with
    scipy's least squares: one dependency less than a semidefinite programme, and no solver to keep alive.
"""

import numpy as np
from scipy.optimize import least_squares

from robostral.arm import Chain
from robostral.arm.chain import FloatArray
from robostral.kinematics.regressor import PARAMETERS, parameters
from robostral_policies.identify.base import Base

PRIOR = 1.0
"""Spread of an inertial parameter around the published one, in units of its size: decides only what torques cannot."""
_SMALLEST_LENGTH = 0.02
_ROTOR = 1e-3
_LOGARITHMS = (-20.0, 10.0)
ROTOR_PRIOR = 0.1
"""Weight of a rotor inertia's logarithm against `_ROTOR`; as loose."""


def consistent(chain: Chain, base: Base, beta: FloatArray, information: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Find consistent inertias and rotor inertias whose base parameters are nearest to `beta`.

    Args:
        chain: The arm as published, the prior.
        base: Its base parameters.
        beta: Fitted base parameters, shape (b,).
        information: Their information matrix, shape (b, b).

    Returns:
        Inertial parameters (n, 10) and rotor inertias (n,) [kg·m²].
    """
    n = chain.n
    values, vectors = np.linalg.eigh(information)
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    published = parameters(chain).reshape(n, PARAMETERS)
    sizes = _sizes(published)
    target = root @ beta

    to_base = root @ base.combine
    ten = PARAMETERS * n

    def residual(theta: FloatArray) -> FloatArray:
        pi, rotor = _unpack(theta, n)
        found: FloatArray = to_base @ np.concatenate([pi.ravel(), rotor]) - target
        return np.concatenate([found, ((pi - published) / sizes).ravel() / PRIOR, ROTOR_PRIOR * theta[ten:]])

    def slope(theta: FloatArray) -> FloatArray:
        links = np.zeros((ten, ten + n))
        for i, row in enumerate(theta[:ten].reshape(n, PARAMETERS)):
            at = slice(PARAMETERS * i, PARAMETERS * (i + 1))
            links[at, at] = _slope(row)
        rotor = np.zeros((n, ten + n))
        rotor[:, ten:] = np.diag(_ROTOR * np.exp(np.clip(theta[ten:], *_LOGARITHMS)))
        found: FloatArray = np.concatenate(
            [
                to_base @ np.concatenate([links, rotor]),
                links / (PRIOR * sizes.ravel()[:, None]),
                np.eye(n, ten + n, ten) * ROTOR_PRIOR,
            ]
        )
        return found

    start = np.concatenate([np.concatenate([_to_theta(row) for row in published]), np.zeros(n)])
    solution = least_squares(residual, start, slope, method="lm", x_scale="jac", ftol=1e-6, xtol=1e-6, max_nfev=100)
    return _unpack(solution.x, n)


def _sizes(published: FloatArray) -> FloatArray:
    """Return the size of each parameter, shape (n, 10): mass, mass times length, mass times length squared."""
    mass = np.maximum(published[:, 0], 0.1)
    trace = published[:, [4, 7, 9]].sum(axis=1) / 2.0
    length = np.maximum(np.sqrt(trace / mass), _SMALLEST_LENGTH)
    columns = [mass, *[mass * length] * 3, *[mass * length**2] * 6]
    return np.stack(columns, axis=1)


def _unpack(theta: FloatArray, n: int) -> tuple[FloatArray, FloatArray]:
    pi = np.stack([_from_theta(row) for row in theta[: PARAMETERS * n].reshape(n, PARAMETERS)])
    return pi, _ROTOR * np.exp(np.clip(theta[PARAMETERS * n :], *_LOGARITHMS))


def pseudo_inertia(pi: FloatArray) -> FloatArray:
    """Build the pseudo-inertia (4, 4) of parameters m, h (3), xx, xy, xz, yy, yz, zz about the frame's origin."""
    m, x, y, z, xx, xy, xz, yy, yz, zz = pi
    half = (xx + yy + zz) / 2.0
    return np.array([[half - xx, -xy, -xz, x], [-xy, half - yy, -yz, y], [-xz, -yz, half - zz, z], [x, y, z, m]])


def _factor(theta: FloatArray) -> FloatArray:
    U = np.zeros((4, 4))
    U[np.diag_indices(4)] = np.exp(np.clip(theta[:4], *_LOGARITHMS))
    U[np.triu_indices(4, 1)] = theta[4:]
    return U


def _from_theta(theta: FloatArray) -> FloatArray:
    U = _factor(theta)
    return _read(U @ U.T)


def _slope(theta: FloatArray) -> FloatArray:
    """Derive `_from_theta`, shape (10, 10)."""
    U, columns = _factor(theta), []
    rows, columns_of = np.triu_indices(4, 1)
    for k in range(PARAMETERS):
        D = np.zeros((4, 4))
        if k < 4:
            D[k, k] = U[k, k]
        else:
            D[rows[k - 4], columns_of[k - 4]] = 1.0
        columns.append(_read(D @ U.T + U @ D.T))
    return np.stack(columns, axis=1)


def _read(P: FloatArray) -> FloatArray:
    """Read the ten parameters out of a pseudo-inertia."""
    trace = P[0, 0] + P[1, 1] + P[2, 2]
    xx, yy, zz = trace - P[0, 0], trace - P[1, 1], trace - P[2, 2]
    return np.array([P[3, 3], P[0, 3], P[1, 3], P[2, 3], xx, -P[0, 1], -P[0, 2], yy, -P[1, 2], zz])


def _to_theta(pi: FloatArray) -> FloatArray:
    P = pseudo_inertia(pi)
    values, vectors = np.linalg.eigh(P)
    P = (vectors * np.maximum(values, 1e-6 * values[-1])) @ vectors.T
    flip = np.eye(4)[::-1]
    U = flip @ np.linalg.cholesky(flip @ P @ flip) @ flip  # upper triangular, U Uᵀ = P
    return np.concatenate([np.log(np.diag(U)), U[np.triu_indices(4, 1)]])
