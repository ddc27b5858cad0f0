"""What a link's inertia must satisfy to belong to a real body."""

from collections.abc import Sequence

import numpy as np

from robostral.arm.chain import FloatArray


def inertia_matrix(inertia: Sequence[float]) -> FloatArray:
    """Build the symmetric matrix of xx, xy, xz, yy, yz, zz; shape (3, 3)."""
    xx, xy, xz, yy, yz, zz = inertia
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def inertia_problems(mass: float, tensor: FloatArray) -> list[str]:
    """List what is wrong with a mass [kg] and a tensor about the centre of mass [kg·m²], shape (3, 3).

    A link without mass is allowed: it moves, but forward dynamics is not defined for it.

    Note:
        Principal moments of a body are positive and none exceeds the sum of the others: they are sums over its mass.
        PyBullet silently zeroes a tensor that breaks this, MuJoCo refuses the file.
    """
    if not (np.isfinite(mass) and np.isfinite(tensor).all()):
        return ["inertia is not finite"]
    if mass < 0.0:
        return [f"mass {mass:.4g} kg is negative"]
    if mass == 0.0:
        return []
    moments = np.linalg.eigvalsh(tensor)
    if moments[0] <= 0.0:
        return [f"inertia tensor is not positive definite: principal moments {moments.round(9).tolist()} kg·m²"]
    excess = float(moments[2] - moments[0] - moments[1])
    if excess > 1e-6 * moments[2]:
        return [f"inertia tensor breaks the triangle inequality by {excess:.2g} kg·m²"]
    return []


def inertia_doubts(mass: float, tensor: FloatArray) -> list[str]:
    """List what is possible, yet looks like a placeholder."""
    doubts = []
    if mass == 0.0:
        doubts.append("no mass: forward dynamics is not defined" if not tensor.any() else "a tensor without mass")
    elif np.ptp(np.diag(tensor)) == 0.0 and not (tensor - np.diag(np.diag(tensor))).any():
        radius = float(np.sqrt(2.5 * tensor[0, 0] / mass))
        if mass == 1.0 or radius > 0.5 or radius < 0.005:
            doubts.append(f"tensor {tensor[0, 0]:.4g} kg·m² times 1 with mass {mass:.4g} kg looks like a placeholder")
    return doubts
