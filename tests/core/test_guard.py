"""Laws of the command guard, each against the independent oracle or against plain arithmetic."""

import numpy as np

from robostral.arm import load_arm
from robostral.guard import Guard, Reason

ARM = load_arm("ur5e")


def test_feasible_commands_pass_bit_for_bit() -> None:
    guard = Guard(ARM.chain, ARM.limits, 0.002)
    assert guard.reset(ARM.home) == Reason.PASSED
    for k in range(500):
        q_d = ARM.home + 0.2 * (1.0 - np.cos(2e-3 * k))
        assert guard.step(q_d) == Reason.PASSED
        assert (guard.q_c == q_d).all()
