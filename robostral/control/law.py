"""The control law of a contract: at every tick, from the guard's last command to what the plant takes.

A position servo is the plant's own, so that law is the identity. Cartesian impedance is ours: joint torques, held by
the guard's second stage. Environment and loop run the same kernel.
"""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robostral.arm.chain import FloatArray
from robostral.contract import Contract, Impedance
from robostral.control.impedance import Room, impedance_kernel, impedance_workspace, pack_gains
from robostral.guard import Guard
from robostral.guard import table as at
from robostral.guard.kernels import begin_stop
from robostral.guard.table import Reason
from robostral.guard.torque import energy_kernel, torque_kernel, torque_stop_kernel
from robostral.identified import IdentifiedArm
from robostral.identified.friction import FEATURES, STATE_COLUMNS, friction_kernel, new_state
from robostral.identified.torque import scratch
from robostral.jit import kernel
from robostral.kinematics.codes import OK
from robostral.kinematics.gravity import gravity_kernel

JOINT_POSITION, JOINT_TORQUE = "joint_position", "joint_torque"
"""Command modes of drivers and requirements."""

PASSED, LIMITED, NOT_FINITE = int(Reason.PASSED), int(Reason.LIMITED), int(Reason.NOT_FINITE)
ENERGY, COMMAND = int(Reason.ENERGY), int(Reason.COMMAND)

Friction = tuple[FloatArray, FloatArray, FloatArray]
"""Weights of the identified friction, its state, and work space."""
STOP_DAMPING = 0.05
"""Damping of a torque-mode stop: share of each joint's torque limit per rad/s [s/rad]; ours."""


def command_mode_of(contract: Contract) -> str:
    """Return the command mode that the law of a contract needs of a driver."""
    return JOINT_POSITION if contract.action.impedance is None else JOINT_TORQUE


class Law(Protocol):
    """Turns the guard's last command into the plant's, tick by tick."""

    def reset(self, q: FloatArray) -> None:
        """Begin at rest at `q` [rad], shape (n,), with a plant that has not been commanded for a while."""
        ...

    def __call__(self, q: FloatArray, dq: FloatArray, command: FloatArray) -> int:
        """Fill `command`, shape (n,), from the measurements; return a `Reason`.

        All but COMMAND leave one that may be written, after a reject as well: then it is the stop's.
        """
        ...


class PositionLaw:
    """Hands the guard's command on to the plant's own servo, if it is the very one that passed [rad].

    Args:
        guard: Guard of the arm.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def reset(self, q: FloatArray) -> None:
        """Do nothing: the servo holds the arm already."""

    def __call__(self, q: FloatArray, dq: FloatArray, command: FloatArray) -> int:
        """Fill `command` [rad], shape (n,); return PASSED or COMMAND."""
        command[:] = self._guard.q_c
        return PASSED if self._guard.command(command) == PASSED else COMMAND


class TorqueLaw:
    """Holds the tcp to the guard's command by Cartesian impedance, in joint torques [N·m].

    Args:
        guard: Guard of the arm; its chain must be that of the arm with its load, under the gravity of its base.
        impedance: The law's figures, as the contract has them.
        identified: The arm as its logs told, whose friction is fed forward; None feeds none.

    Attributes:
        tables: (gains, friction, room, joints), the last arguments of `torque_law_kernel` but `q, dq` and the command.

    Note:
        Real-time: no exception, no allocation beyond Python's own call.
    """

    def __init__(self, guard: Guard, impedance: Impedance, identified: IdentifiedArm | None = None) -> None:
        gains = pack_gains(np.array(impedance.stiffness), np.array(impedance.damping_ratio), impedance.null_stiffness)
        n, self._guard = guard.chain.n, guard
        weights = np.zeros((0, FEATURES)) if identified is None else identified.weights.copy()
        self._friction = np.zeros((n, STATE_COLUMNS))
        friction = weights, self._friction, scratch()
        self.tables = (gains, friction, impedance_workspace(guard.chain), np.zeros((4, n)))

    def reset(self, q: FloatArray) -> None:
        """Begin at rest at `q` [rad], shape (n,), held against gravity."""
        _, _, room, joints = self.tables
        self._friction[:] = new_state(len(q))
        gravity_kernel(self._guard.chain.model, q, room[0], joints[1])
        self._guard.reset_torque(joints[1])

    def __call__(self, q: FloatArray, dq: FloatArray, command: FloatArray) -> int:
        """Fill `command` [N·m], shape (n,), always finite and inside the limits; see `torque_law_kernel`."""
        return int(torque_law_kernel(*self._guard.tables, q, dq, *self.tables, command))


def law_of(contract: Contract, guard: Guard, identified: IdentifiedArm | None = None) -> Law:
    """Make the law of a contract for one arm and its guard; a law of torques feeds the friction found forward."""
    impedance = contract.action.impedance
    return PositionLaw(guard) if impedance is None else TorqueLaw(guard, impedance, identified)


@kernel
def torque_law_kernel(
    model: FloatArray,
    table: FloatArray,
    state: FloatArray,
    counts: NDArray[np.int64],
    q: FloatArray,
    dq: FloatArray,
    gains: FloatArray,
    friction: Friction,
    room: Room,
    joints: FloatArray,
    tau_c: FloatArray,
) -> int:
    """Compute the torques that go with the guard's last command: Cartesian impedance, then the second stage.

    What is not finite stops the arm: the set-point brakes on its path from the next tick on, and the torques that held
    the arm last stay, less damping.

    Args:
        model: `Chain.model`, of the arm with its load.
        table: Limits of the guard.
        state: State of the guard.
        counts: Its counter per `Reason`.
        q: Measured positions [rad], shape (n,).
        dq: Measured velocities [rad/s], shape (n,).
        gains: Of `robostral.control.impedance.pack_gains`.
        friction: Weights of the identified friction, shape (n, 23), or (0, 23) for none; its state; work space.
        room: Of `impedance_workspace`.
        joints: Work space, its last row zeros, shape (4, n).
        tau_c: Filled with the command [N·m], shape (n,); always finite and inside the limits.

    Returns:
        PASSED, LIMITED, or the reason of the stop that began here.
    """
    tau_d, damping, still = joints[1], joints[2], joints[3]
    # The reference's acceleration is not fed forward: it jumps at seams, by more than a torque may change in a tick,
    # and a law whose torques lag behind their rate limit oscillates.
    q_c, dq_c = state[at.Q, : tau_c.shape[0]], state[at.DQ_C, : tau_c.shape[0]]
    if impedance_kernel(model, gains, q_c, dq_c, still, q, dq, *room, tau_d) != OK:
        begin_stop(model, table, state, counts, NOT_FINITE)
        _hold_on(table, state, dq, damping, tau_d, tau_c)
        return int(state[at.META, at.LATCH])
    weights, bristles, row = friction
    if weights.shape[0] > 0:  # of the motion commanded: fed forward, it cannot oscillate
        for i in range(tau_c.shape[0]):
            damping[i] = abs(tau_d[i])
        friction_kernel(weights, bristles, q_c, dq_c, damping, row, damping)
        for i in range(tau_c.shape[0]):
            tau_d[i] += damping[i]
    held = energy_kernel(model, table, q, dq, room[0], room[2], damping, tau_d)
    if held == ENERGY:
        begin_stop(model, table, state, counts, ENERGY)
    held = max(held, torque_kernel(table, state, tau_d, tau_c))
    counts[LIMITED] += held == LIMITED
    return int(held)


@kernel
def _hold_on(
    table: FloatArray, state: FloatArray, dq: FloatArray, damping: FloatArray, tau_d: FloatArray, tau_c: FloatArray
) -> None:
    """Go on with the torques that held the arm last, less damping; `damping` and `tau_d` are work space."""
    for i in range(tau_c.shape[0]):
        damping[i] = STOP_DAMPING * table[at.TORQUE, i]
        tau_d[i] = math.nan
    torque_stop_kernel(table, state, damping, dq, tau_d, tau_c)
