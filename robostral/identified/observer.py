"""The observer of contacts, live: external torques at every tick, and the moment at which something touches the arm."""

import numpy as np

from robostral.arm.chain import Chain, FloatArray, frozen
from robostral.identified.arm import IdentifiedArm
from robostral.identified.contact import contact_kernel, new_filter
from robostral.identified.friction import new_state
from robostral.identified.torque import scratch
from robostral.kinematics.body import workspace

SETTLE_S = 0.2
"""For so long after it has begun nothing counts as a contact: brakes let go, filters forget what they began with."""


class ContactObserver:
    """`robostral.identified.contact.contact_kernel` with its state, for one arm in one loop.

    Args:
        found: The identified arm.
        chain: Its chain as the loop has it: with tool and payload.
        dt: Control period [s].

    Attributes:
        tau_ext: Torques that something outside exerts on the arm [N·m], shape (n,).
        joint: Joint that feels a contact; -1 for none.

    Note:
        Real-time: no exception, no allocation beyond Python's own call.
    """

    def __init__(self, found: IdentifiedArm, chain: Chain, dt: float) -> None:
        n, parameters = chain.n, found.parameters
        self.tau_ext: FloatArray = np.zeros(n)
        self._friction, self._filters = new_state(n), new_filter(n)
        self._fixed = (chain.model, found.rotor, found.weights, self._friction, self._filters)
        self._figures = (frozen(np.array(parameters.contact)), parameters.torque_lag_s, dt)
        self._room = (np.zeros((5, n)), workspace(chain), scratch())
        self._settle = round(SETTLE_S / dt)
        self.joint, self._ticks = -1, 0

    def forget(self) -> None:
        """Begin anew: measurements have been missing, or brakes have held the arm."""
        self._friction[:], self._filters[:], self.joint, self._ticks = 0.0, 0.0, -1, 0
        self._friction[:, 0] = self._filters[:, 0] = np.nan

    def step(self, q: FloatArray, dq: FloatArray, tau: FloatArray) -> bool:
        """Take in one tick; return True where a contact begins.

        One that goes on is told once: the operator has to be able to drive away from it.

        Args:
            q: Measured positions [rad], shape (n,).
            dq: Measured velocities [rad/s], shape (n,).
            tau: Measured motor torques [N·m], shape (n,).
        """
        before = self.joint
        self.joint = contact_kernel(*self._fixed, *self._figures, q, dq, tau, *self._room, self.tau_ext)
        self._ticks += 1
        if self.joint < -1:  # a number was not finite, and stays in the filters
            self.forget()
        elif self._ticks <= self._settle:
            self.joint = -1
        return before < 0 <= self.joint
