"""Base parameters: the combinations of inertial parameters that torques can tell at all.

Note:
    Numerically by QR with column pivoting: Gautier, "Numerical calculation of the base inertial parameters of
    robots" (1991). Columns are the links' 10 parameters (`robostral.kinematics.regressor`), then each joint's
    rotor inertia as seen after the gear [kg·m²].
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular

from robostral.arm import Chain
from robostral.arm.chain import FloatArray, frozen
from robostral.kinematics.regressor import PARAMETERS, regressor

_POSES = 200
_RANK = 1e-8
PARTS = ("m", "mx", "my", "mz", "Ixx", "Ixy", "Ixz", "Iyy", "Iyz", "Izz")


@dataclass(frozen=True, eq=False)
class Base:
    """Which columns of the regressor stand for all.

    Attributes:
        columns: The base columns, shape (b,).
        combine: Base parameters are `combine @ parameters`, shape (b, 11 n).
    """

    columns: NDArray[np.int64]
    combine: FloatArray

    def names(self, chain: Chain) -> list[str]:
        """Name each base parameter after the one that leads it."""
        ten = PARAMETERS * chain.n
        return [
            f"{chain.link_names[c // PARAMETERS]}.{PARTS[c % PARAMETERS]}"
            if c < ten
            else f"{chain.joint_names[c - ten]}.rotor"
            for c in self.columns
        ]


@cache
def find_base(chain: Chain) -> Base:
    """Find the base parameters of an arm, from random motion (seed 0): they belong to the arm, not to a log."""
    rng = np.random.default_rng(0)
    q, dq, ddq = rng.uniform(-3.0, 3.0, (3, _POSES, chain.n))
    W = full_regressor(chain, q, dq, ddq).reshape(-1, (PARAMETERS + 1) * chain.n)
    # What is zero but for rounding must not be blown up to a column like the others.
    scale = np.linalg.norm(W, axis=0)
    scale = np.where(scale > _RANK * scale.max(), scale, scale.max())
    _, R, order = qr(W / scale, mode="economic", pivoting=True)
    rank = int((np.abs(np.diag(R)) > _RANK * abs(R[0, 0])).sum())
    lead, rest = order[:rank], order[rank:]
    combine = np.zeros((rank, W.shape[1]))
    combine[:, lead] = np.eye(rank)
    combine[:, rest] = solve_triangular(R[:rank, :rank], R[:rank, rank:])
    combine *= scale / scale[lead][:, None]
    combine[np.abs(combine) < 1e-10] = 0.0
    sort = np.argsort(lead)
    columns = lead[sort].astype(np.int64)
    return Base(columns, frozen(combine[sort]))


def full_regressor(chain: Chain, q: FloatArray, dq: FloatArray, ddq: FloatArray) -> FloatArray:
    """Compute the regressor with rotor inertias, shape (m, n, 11 n), of motion with rows (m, n)."""
    m, n = q.shape
    rotor = np.zeros((m, n, n))
    rotor[:, np.arange(n), np.arange(n)] = ddq
    return np.concatenate([regressor(chain, q, dq, ddq), rotor], axis=2)


def base_regressor(chain: Chain, q: FloatArray, dq: FloatArray, ddq: FloatArray) -> FloatArray:
    """Compute the columns of the regressor that belong to the base parameters, shape (m, n, b)."""
    found: FloatArray = full_regressor(chain, q, dq, ddq)[:, :, find_base(chain).columns]
    return found


def condition(Y: FloatArray) -> float:
    """Compute the condition number of a base regressor (m, n, b), its columns scaled to one length."""
    W = Y.reshape(-1, Y.shape[2])
    length = np.linalg.norm(W, axis=0)
    if (length == 0.0).any():
        return float("inf")
    G = (W / length).T @ (W / length)
    values = np.linalg.eigvalsh(G)
    return float(np.sqrt(values[-1] / values[0])) if values[0] > 0.0 else float("inf")
