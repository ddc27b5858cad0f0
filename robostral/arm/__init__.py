"""What an arm is: a chain of joints, limits and shapes, all of it data with a source per figure."""

from robostral.arm.arm import Arm, arm_names, load_arm
from robostral.arm.capsules import Capsules
from robostral.arm.chain import Chain
from robostral.arm.limits import Limits

__all__ = ["Arm", "Capsules", "Chain", "Limits", "arm_names", "load_arm"]
