"""The sizes of a mailbox, from a contract and an arm."""

from robostral.arm import Arm
from robostral.contract import Contract
from robostral.control.law import JOINT_TORQUE, command_mode_of
from robostral.runtime.records import Sizes
from robostral.signals import Signals


def sizes_of(contract: Contract, arm: Arm, *, identified: bool = False) -> Sizes:
    """Derive the sizes of a mailbox; an identified arm's ticks hold external torques.

    Raises:
        UnknownName: The contract has an observation that this release does not know.
        ContractMismatch: The contract does not fit the arm.
    """
    signals = Signals(contract, arm.chain)
    horizon, action = contract.chunk_shape
    n, torques = arm.chain.n, arm.chain.n * (command_mode_of(contract) == JOINT_TORQUE)
    external = signals.external_size
    return Sizes(n, signals.obs_size, horizon, external, action=action, torques=torques, touch=n * identified)
