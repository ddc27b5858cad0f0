"""The plant as the loop sees it: its last measurement that is one, its status, and what may be done with it at rest."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from robostral.contract import Contract
from robostral.control.law import JOINT_POSITION, command_mode_of
from robostral.driver import Driver, DriverState, PlantStatus, TakesPayload, TakesTorque
from robostral.errors import ConfigError, DriverError
from robostral.identified import ContactObserver
from robostral.runtime import realtime
from robostral.runtime.records import Answer, Record

STANDSTILL = 0.05
"""Measured joint speed below which the arm counts as at rest for arming [rad/s]."""
FROZEN_NS = 200_000_000
"""Measurements whose time stamp has stood still for this long are none [ns]."""
FROZEN_TORQUE_NS = 10_000_000
"""Likewise where torques are commanded: what looks at the past for longer does not damp."""


class Plant:
    """A driver, and what it last measured.

    Args:
        driver: Connected.
        n: Joints.
        dt_ns: Control period [ns].
        contract: Says what is commanded, and which sensors are needed.

    Attributes:
        state: The last measurement.
        status: A `PlantStatus`: the driver's last answer.
        observer: Feels contacts in the measured torques; None for none.
        touched: Whether a contact began in this tick.

    Raises:
        ConfigError: The driver says that it takes torques, and has no way for them.
    """

    def __init__(self, driver: Driver, n: int, dt_ns: int, contract: Contract) -> None:
        self._driver, frozen_ns, mode = driver, FROZEN_NS, command_mode_of(contract)
        self.observer: ContactObserver | None = None
        self.touched = self._driven = False
        self._feels = any(field.name == "wrench" for field in contract.obs)
        self._send: Callable[[NDArray[np.float64]], int] = driver.write
        self._torques = mode != JOINT_POSITION
        if self._torques:
            if not isinstance(driver, TakesTorque):
                raise ConfigError(f"driver '{driver.info.name}' has no write_torque, which {mode} needs")
            self._send, frozen_ns = driver.write_torque, FROZEN_TORQUE_NS
        self.state, self._fresh = DriverState(n), DriverState(n)
        self.status = int(PlantStatus.OK)
        self._frozen, self._frozen_limit = 0, frozen_ns // dt_ns

    def read(self) -> int:
        """Measure; what is not a number, or not new for long, is no measurement, and the last one stays."""
        self.touched = False
        self.status = self._read()
        return self.status

    def _read(self) -> int:
        fresh, state = self._fresh, self.state
        status = self._driver.read(fresh)
        if status != PlantStatus.OK:
            return status
        if not (np.isfinite(fresh.q).all() and np.isfinite(fresh.dq).all()):
            return PlantStatus.NO_DATA
        if self._feels and not np.isfinite(fresh.wrench).all():
            return PlantStatus.NO_DATA
        knows_torques = np.isfinite(fresh.tau).all()
        if self.observer is not None and not knows_torques:
            return PlantStatus.NO_DATA
        self._frozen = self._frozen + 1 if fresh.t_ns == state.t_ns else 0
        if self._frozen > self._frozen_limit:
            return PlantStatus.NO_DATA
        state.q[:], state.dq[:], state.t_ns = fresh.q, fresh.dq, fresh.t_ns
        if knows_torques:
            state.tau[:] = fresh.tau
        if self._feels:
            state.wrench[:] = fresh.wrench
        if self.observer is not None and self._driven:
            self.touched = self.observer.step(state.q, state.dq, state.tau)
        elif self.observer is not None:
            self.observer.forget()
        self._driven = False
        return status

    def record(self, row: Record) -> None:
        """Fill this side of a tick's record."""
        state = self.state
        row["plant"], row["q"], row["dq"], row["tau"] = self.status, state.q, state.dq, state.tau
        if self._torques:
            row["wrench"] = state.wrench
        if self.observer is not None:
            row["tau_ext"], row["contact"] = self.observer.tau_ext, self.observer.joint

    def write(self, command: NDArray[np.float64]) -> bool:
        """Send one command of its mode [rad or N·m], shape (n,); return whether the plant took it."""
        status = self._send(command)
        if status != PlantStatus.OK:
            self.status = status
        self._driven = status == PlantStatus.OK
        return self._driven

    def stop(self) -> None:
        """Ask for the plant's own stop."""
        self._driver.stop()

    def get_ready(self, lost: bool) -> Answer:
        """Get it ready for commands, at rest; connect anew where it was lost. This may take its time."""
        if lost:
            try:
                with realtime.aside():
                    self._driver.connect()
            except DriverError:
                return Answer.PLANT
            self._frozen = 0
            self.read()
        if self.status != PlantStatus.OK:
            return Answer.PLANT
        if not np.abs(self.state.dq).max() < STANDSTILL:
            return Answer.NOT_AT_REST
        with realtime.aside(realtime.PRIORITY // 4):
            self.status = self._driver.arm()
        return Answer.DONE if self.status == PlantStatus.OK else Answer.PLANT

    def set_payload(self, mass: float, com: NDArray[np.float64]) -> Answer:
        """Tell the controller what the arm carries: mass [kg], centre of mass in the flange [m], shape (3,)."""
        if not isinstance(self._driver, TakesPayload):
            return Answer.NOT_TAKEN
        with realtime.aside(realtime.PRIORITY // 4):
            status = self._driver.set_payload(mass, com)
        return Answer.DONE if status == PlantStatus.OK else Answer.PLANT
