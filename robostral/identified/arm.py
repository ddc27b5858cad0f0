"""An identified arm: its inertias as an arm of the usual kind, its friction, and what to expect of its torques."""

from dataclasses import dataclass, replace
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from robostral.arm.arm import Arm, build_arm
from robostral.arm.chain import KIND, POS, FloatArray, frozen
from robostral.arm.table import Table
from robostral.errors import ConfigError
from robostral.identified.contact import contact_batch_kernel, new_filter
from robostral.identified.friction import FAMILIES, FEATURES, new_state
from robostral.identified.torque import scratch, torque_batch_kernel
from robostral.kinematics.body import workspace

Numbers = tuple[float, ...]


class JointFriction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Family of a joint's friction and the weight of every feature, see `robostral.identified.friction`."""

    family: str
    weights: Numbers


class Ranges(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Least and greatest of what was fitted, per joint [rad, rad/s, rad/s²]; outside, nothing is promised."""

    q: tuple[Numbers, Numbers]
    dq: tuple[Numbers, Numbers]
    ddq: tuple[Numbers, Numbers]


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What identification found; everything per joint, in the order of the arm's joints.

    `rotor` [kg·m²]; `interval` is the half width of the 90 % interval of the torque [N·m]; `contact` the threshold of
    the external torque [N·m] at which free motion gives `false_alarms_per_hour` in all; `torque_lag_s` says how late
    the torque channel is; `motor` holds the torque constants [N·m/A] where the log held currents; `rms` the
    torque's own error on folds that were not fitted [N·m].
    """

    arm: Table
    rotor: Numbers
    friction: tuple[JointFriction, ...]
    rms: Numbers
    interval: Numbers
    contact: Numbers
    false_alarms_per_hour: float
    torque_lag_s: float
    ranges: Ranges
    motor: Numbers | None = None

    def check(self) -> None:
        """Check what the types cannot say.

        Raises:
            ConfigError: A row of another length than the arm has joints, an unknown family, or a number out of range.
        """
        n = len(self.arm.joints)
        ranges = [side for pair in (self.ranges.q, self.ranges.dq, self.ranges.ddq) for side in pair]
        rows = [self.rotor, self.rms, self.interval, self.contact, self.friction, *ranges, *filter(None, [self.motor])]
        if any(len(row) != n for row in rows) or any(len(joint.weights) != FEATURES for joint in self.friction):
            raise ConfigError(f"identified arm '{self.arm.name}': a row has not {n} joints or {FEATURES} features")
        for joint in self.friction:
            if joint.family not in FAMILIES:
                raise ConfigError(f"unknown friction family '{joint.family}' (families: {', '.join(FAMILIES)})")
        numbers = np.array([*self.rotor, *self.contact, *(w for joint in self.friction for w in joint.weights)])
        if not np.isfinite(numbers).all() or min(self.rotor) < 0.0 or min(self.contact) <= 0.0:
            raise ConfigError(f"identified arm '{self.arm.name}': a number is not finite, or not positive")
        if not 0.0 <= self.torque_lag_s < 1.0:
            raise ConfigError(f"identified arm '{self.arm.name}': torque lag {self.torque_lag_s} s outside [0, 1)")


@dataclass(frozen=True, eq=False)
class IdentifiedArm:
    """An arm with what its logs told.

    Attributes:
        parameters: As stored.
        residual: ONNX model of what rigid body and friction leave; None where none was worth keeping.
    """

    parameters: Parameters
    residual: bytes | None = None

    @cached_property
    def arm(self) -> Arm:
        """The arm with identified inertias, for engines and control laws alike."""
        return build_arm(self.parameters.arm)

    def mounted(self, arm: Arm) -> Arm:
        """Return `arm` with the inertias found; its limits, its shape and its tool stay.

        Raises:
            ConfigError: It is another arm, or one of another geometry.
        """
        chain, T_flange_tcp = self.arm.chain, arm.chain.T_flange_tcp
        if arm.name != self.arm.name or chain.joint_names != arm.chain.joint_names:
            raise ConfigError(f"the identified arm is '{self.arm.name}', this one '{arm.name}'")
        chain = chain.with_tcp(T_flange_tcp)
        if not np.allclose(chain.model[:, : KIND + 1], arm.chain.model[:, : KIND + 1], rtol=0.0, atol=1e-6):
            raise ConfigError(f"the identified arm '{arm.name}' has other lengths than this one: identify it anew")
        gravity = arm.chain.model[chain.n + 2, POS : POS + 3]
        return replace(arm, chain=chain.with_gravity(gravity.tolist()))

    @cached_property
    def rotor(self) -> FloatArray:
        """Rotor inertias as seen after the gear [kg·m²], shape (n,), read-only."""
        return frozen(np.array(self.parameters.rotor))

    @cached_property
    def weights(self) -> FloatArray:
        """Friction weights, shape (n, 23), read-only."""
        return frozen(np.array([joint.weights for joint in self.parameters.friction]))

    def torque(self, q: FloatArray, dq: FloatArray, ddq: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Compute the torques of a motion, rows in order of time.

        Args:
            q: Joint positions [rad], shape (m, n).
            dq: Joint velocities [rad/s], shape (m, n).
            ddq: Joint accelerations [rad/s²], shape (m, n).

        Returns:
            Motor torques and the friction in them [N·m], shape (m, n) each; the learned residual is not in them.
        """
        chain = self.arm.chain
        q, dq, ddq = (np.array(x, dtype=np.float64, order="C") for x in (q, dq, ddq))
        tau, friction = np.empty(q.shape), np.empty(q.shape)
        torque_batch_kernel(
            chain.model, self.rotor, self.weights, new_state(chain.n), q, dq, ddq,
            workspace(chain), scratch(), friction, tau,
        )  # fmt: skip
        return tau, friction

    def external(self, dt: float, q: FloatArray, dq: FloatArray, tau: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Estimate external torques along a recording, as `robostral.identified.contact.contact_kernel` does live.

        Args:
            dt: Sample period [s].
            q: Measured positions [rad], shape (m, n).
            dq: Measured velocities [rad/s], shape (m, n).
            tau: Measured motor torques [N·m], shape (m, n).

        Returns:
            External torques [N·m], shape (m, n), and the joint that feels a contact, -1 for none, shape (m,).
        """
        chain = self.arm.chain
        q, dq, tau = (np.array(x, dtype=np.float64, order="C") for x in (q, dq, tau))
        found, touched = np.empty(q.shape), np.empty(len(q))
        contact_batch_kernel(
            chain.model, self.rotor, self.weights, new_state(chain.n), new_filter(chain.n),
            frozen(np.array(self.parameters.contact)), self.parameters.torque_lag_s, dt, q, dq, tau,
            np.zeros((5, chain.n)), workspace(chain), scratch(), found, touched,
        )  # fmt: skip
        return found, touched

    def inside(self, q: FloatArray, dq: FloatArray, ddq: FloatArray) -> NDArray[np.bool_]:
        """Tell for each row whether every joint is where it was when it was identified; shape (m,), bool."""
        found = np.ones(len(q), dtype=np.bool_)
        for values, (low, high) in zip(
            (q, dq, ddq), (self.parameters.ranges.q, self.parameters.ranges.dq, self.parameters.ranges.ddq), strict=True
        ):
            found &= ((values >= np.array(low)) & (values <= np.array(high))).all(axis=1)
        return found
