"""The arm one really has: identified inertias and friction, feed-forward torques, external torques and contact."""

from robostral.identified.arm import IdentifiedArm, JointFriction, Parameters, Ranges
from robostral.identified.bundle import ArmLineage, load_arm_bundle, write_arm
from robostral.identified.observer import ContactObserver

__all__ = [
    "ArmLineage",
    "ContactObserver",
    "IdentifiedArm",
    "JointFriction",
    "Parameters",
    "Ranges",
    "load_arm_bundle",
    "write_arm",
]
