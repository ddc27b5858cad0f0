"""What shapes are made of: their primitives, and mass, centre and inertia at even density."""

import math

import numpy as np
from numpy.typing import NDArray

from robostral.kinematics.se3 import matrix_from_quat_kernel
from robostral_sims.scene import Box, Compound, Cylinder, Jaw, Pose, Primitive, Shape, Solid, Sphere, Tool, Vacuum

FloatArray = NDArray[np.float64]


def solids_of(shape: Shape) -> tuple[Solid, ...]:
    """Return the primitives of a shape, each at its pose in the shape's frame."""
    return shape.solids if isinstance(shape, Compound) else (Solid(shape),)


def rotation(pose: Pose) -> FloatArray:
    """Return the rotation of a pose, shape (3, 3)."""
    R = np.empty((3, 3))
    matrix_from_quat_kernel(np.array(pose.quat_wxyz), R)
    return R


def transform(pose: Pose) -> FloatArray:
    """Return a pose as a matrix, shape (4, 4)."""
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = rotation(pose), pose.p
    return T


def compute_inertia(shape: Shape, mass: float) -> tuple[FloatArray, FloatArray]:
    """Compute the centre of mass [m], shape (3,), and the inertia about it [kg·m²], shape (3, 3), at even density."""
    solids = solids_of(shape)
    volumes = np.array([_volume(solid.shape) for solid in solids])
    masses = mass * volumes / volumes.sum()
    at = np.array([solid.pose.p for solid in solids])
    com = masses @ at / mass
    tensor = np.zeros((3, 3))
    for solid, m, c in zip(solids, masses, at - com, strict=True):
        R = rotation(solid.pose)
        tensor += R @ np.diag(m * _gyration(solid.shape)) @ R.T + m * (c @ c * np.eye(3) - np.outer(c, c))
    return com, tensor


def parts_of(tool: Jaw | Vacuum | Tool) -> list[tuple[str, Shape, float]]:
    """Return the rigid parts of a tool: link, shape in the link's frame, mass [kg]; a jaw's density is even."""
    if isinstance(tool, Tool):
        return [("tool", tool.shape, tool.mass)]
    if isinstance(tool, Vacuum):
        tube = Solid(Cylinder(tool.radius, tool.length), Pose((0.0, 0.0, tool.length / 2.0)))
        return [("tool", Compound((tube,)), tool.mass)]
    palm, finger = math.prod(tool.palm), math.prod(tool.finger)
    share = tool.mass / (palm + 2.0 * finger)
    solid = Solid(Box(tool.palm), Pose((0.0, 0.0, tool.palm[2] / 2.0)))
    fingers = [(f"finger{k}", Box(tool.finger), share * finger) for k in range(2)]
    return [("tool", Compound((solid,)), share * palm), *fingers]


def _volume(shape: Primitive) -> float:
    if isinstance(shape, Box):
        return math.prod(shape.size)
    if isinstance(shape, Sphere):
        return 4.0 / 3.0 * math.pi * shape.radius**3
    return math.pi * shape.radius**2 * shape.length


def _gyration(shape: Primitive) -> FloatArray:
    """Return the squares of the radii of gyration about the principal axes [m²], shape (3,)."""
    if isinstance(shape, Box):
        x, y, z = (edge * edge / 12.0 for edge in shape.size)
        return np.array([y + z, x + z, x + y])
    if isinstance(shape, Sphere):
        return np.full(3, 0.4 * shape.radius**2)
    side = shape.radius**2 / 4.0 + shape.length**2 / 12.0
    return np.array([side, side, shape.radius**2 / 2.0])
