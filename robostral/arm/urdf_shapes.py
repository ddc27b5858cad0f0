"""Collision primitives of URDF as capsules that contain them."""

from xml.etree import ElementTree

import numpy as np

from robostral.arm.chain import FloatArray


def capsule_of(T: FloatArray, shape: ElementTree.Element) -> tuple[FloatArray, FloatArray, float] | None:
    """Return segment ends and radius [m] of a capsule around a shape at pose T; None for a mesh."""
    if shape.tag == "sphere":
        return T[:3, 3], T[:3, 3], float(shape.attrib["radius"])
    if shape.tag in ("cylinder", "capsule"):
        half, radius = float(shape.attrib["length"]) / 2, float(shape.attrib["radius"])
        return _segment(T, np.array([0.0, 0.0, half]), radius)
    if shape.tag == "box":
        half_size = np.array([float(part) for part in shape.attrib["size"].split()]) / 2
        long = int(np.argmax(half_size))
        radius = float(np.linalg.norm(np.delete(half_size, long)))
        return _segment(T, np.eye(3)[long] * half_size[long], radius)
    return None


def _segment(T: FloatArray, half: FloatArray, radius: float) -> tuple[FloatArray, FloatArray, float]:
    reach = T[:3, :3] @ half
    return T[:3, 3] - reach, T[:3, 3] + reach, radius
