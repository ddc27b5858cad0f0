"""How far the arm is from a singularity: singular values of the Jacobian, their ratio and their product.

Note:
    One-sided Jacobi rotations: Hestenes, "Inversion of matrices by biorthogonalization" (1958). Manipulability:
    Yoshikawa (1985). Metres and radians are mixed as they are, as in MoveIt Servo. Real-time: no allocation.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from robostral.arm.chain import Chain, FloatArray
from robostral.arm.limits import Limits
from robostral.jit import kernel
from robostral.kinematics.codes import OK
from robostral.kinematics.jacobian import jacobian_kernel
from robostral.kinematics.validate import as_states

_SWEEPS = 12


@kernel
def _orthogonalise(J: FloatArray) -> float:
    """Turn all pairs of rows once; return the greatest squared cosine between two rows that was met."""
    n, greatest = J.shape[1], 0.0
    for a in range(5):
        for b in range(a + 1, 6):
            aa, bb, ab = 0.0, 0.0, 0.0
            for k in range(n):
                aa += J[a, k] * J[a, k]
                bb += J[b, k] * J[b, k]
                ab += J[a, k] * J[b, k]
            if ab * ab <= 1e-30 * aa * bb:
                continue
            greatest = max(greatest, ab * ab / (aa * bb))
            zeta = 0.5 * (bb - aa) / ab
            t = math.copysign(1.0, zeta) / (abs(zeta) + math.sqrt(1.0 + zeta * zeta))
            c = 1.0 / math.sqrt(1.0 + t * t)
            s = c * t
            for k in range(n):
                x, y = J[a, k], J[b, k]
                J[a, k], J[b, k] = c * x - s * y, s * x + c * y
    return greatest


@kernel
def singular_values_kernel(J: FloatArray, sigma: FloatArray) -> None:
    """Fill sigma (6,) with the singular values of J (6, n), greatest first; J is destroyed.

    With less than 6 joints the last 6 - n values are zero.
    """
    for _ in range(_SWEEPS):
        if _orthogonalise(J) < 1e-24:
            break
    for i in range(6):
        total = 0.0
        for k in range(J.shape[1]):
            total += J[i, k] * J[i, k]
        value, j = math.sqrt(total), i
        while j > 0 and sigma[j - 1] < value:
            sigma[j] = sigma[j - 1]
            j -= 1
        sigma[j] = value


@kernel
def condition_kernel(model: FloatArray, q: FloatArray, J: FloatArray, sigma: FloatArray) -> int:
    """Compute condition number and manipulability of J_aligned.

    Args:
        model: `Chain.model`.
        q: Joint positions [rad], shape (n,).
        J: Work space, shape (6, n).
        sigma: Filled with the 6 singular values, greatest first, the condition number (infinite at a singularity) and
            the manipulability, shape (8,).

    Returns:
        OK, BAD_SHAPE or NOT_FINITE.
    """
    code = jacobian_kernel(model, q, J)
    if code != OK:
        return code
    singular_values_kernel(J, sigma)
    rank, product = min(6, q.shape[0]), 1.0
    for i in range(rank):
        product *= sigma[i]
    sigma[6], sigma[7] = sigma[0] / sigma[rank - 1], product
    return OK


@kernel
def condition_batch_kernel(model: FloatArray, q: FloatArray, J: FloatArray, sigma: FloatArray) -> int:
    """Apply `condition_kernel` to q (m, n) and sigma (m, 8); J is work space (6, n); returns the greatest code."""
    code = OK
    for k in range(q.shape[0]):
        code = max(code, condition_kernel(model, q[k], J, sigma[k]))
    return code


def _singular(chain: Chain, q: ArrayLike, limits: Limits | None) -> FloatArray:
    (q,) = as_states(chain, limits, q=q)
    sigma = np.empty((*q.shape[:-1], 8))
    kernel_form = condition_kernel if q.ndim == 1 else condition_batch_kernel
    kernel_form(chain.model, q, np.empty((6, chain.n)), sigma)
    return sigma


def condition(chain: Chain, q: ArrayLike, *, limits: Limits | None = None) -> FloatArray:
    """Compute the condition number of J_aligned: greatest by least singular value.

    Args:
        chain: Arm with its tcp.
        q: Joint positions [rad], shape (n,) or (m, n).
        limits: Bounds that q is held against; none if None.

    Returns:
        Condition number, infinite at a singularity, shape () or (m,).

    Raises:
        InvalidArray: A wrong shape or kind.
        NotFinite: A NaN or an infinity; names the joint.
        JointOutOfLimit: Names joint, value and bound.
    """
    return _singular(chain, q, limits)[..., 6]


def manipulability(chain: Chain, q: ArrayLike, *, limits: Limits | None = None) -> FloatArray:
    """Compute the manipulability: product of the singular values, `sqrt(det(J J'))` with 6 joints or more.

    Args:
        chain: Arm with its tcp.
        q: Joint positions [rad], shape (n,) or (m, n).
        limits: Bounds that q is held against; none if None.

    Returns:
        Manipulability, zero at a singularity, shape () or (m,).

    Raises:
        InvalidArray: A wrong shape or kind.
        NotFinite: A NaN or an infinity; names the joint.
        JointOutOfLimit: Names joint, value and bound.
    """
    return _singular(chain, q, limits)[..., 7]
