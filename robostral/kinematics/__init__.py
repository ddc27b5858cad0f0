"""Kinematics and dynamics on plain arrays: kernels for loops, and faces that check what they are given."""

from robostral.kinematics import fk, ik, jacobian, se3, ur

__all__ = ["fk", "ik", "jacobian", "se3", "ur"]
