"""Kinematics and dynamics on plain arrays.

Each module holds one algorithm: `*_kernel` for loops (plain arrays in, outputs filled, a return code), `*_batch_kernel`
over rows, and a face of the module's own name that checks what it is given and raises typed errors.
"""

from robostral.kinematics import (
    aba,
    condition,
    crba,
    distance,
    fk,
    gravity,
    ik,
    jacobian,
    regressor,
    rnea,
    se3,
    ur,
)
from robostral.kinematics.body import workspace
from robostral.kinematics.ik import NoSolution
from robostral.kinematics.validate import InvalidArray, InvalidTransform, JointOutOfLimit, NotFinite

__all__ = [
    "InvalidArray",
    "InvalidTransform",
    "JointOutOfLimit",
    "NoSolution",
    "NotFinite",
    "aba",
    "condition",
    "crba",
    "distance",
    "fk",
    "gravity",
    "ik",
    "jacobian",
    "regressor",
    "rnea",
    "se3",
    "ur",
    "workspace",
]
