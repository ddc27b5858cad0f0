"""The state of a UR controller: modes, safety, program, watchdogs, inputs and outputs; one `tick` is one period."""

import logging
from collections.abc import Callable
from typing import Protocol

import numpy as np

from robostral.arm import Arm
from robostral.driver import Driver, DriverState, PlantStatus
from robostral_drivers.ur.geometry import Geometry
from robostral_drivers.ur.motion import DT, SAFETY_STOP, Motion
from robostral_drivers.ur.rtde import LOCKSTEP_FIELD, TWIN_FIELD, Exchange
from robostral_drivers.ur.script import ControlScript, ScriptError
from robostral_drivers.ur.wire import Recipe, RobotMode, RuntimeState, Safety, SafetyMode, Status

UNLOCK_AFTER_S = 5.0
"""A protective stop can be unlocked no sooner [s]. Source: UR's dashboard server guide."""
AMPERE_PER_NM = 0.1
"""Current reported for a motor torque [A/(N·m)]; ours, UR does not publish its torque constants."""
STEADY_RAD_S = 1e-3

_log = logging.getLogger(__name__)


class Plant(Driver, Protocol):
    """The World behind the twin: a driver whose time passes only in `advance`."""

    def advance(self, periods: int = 1) -> None:
        """Let it live through some periods."""
        ...


class Controller:
    """A PolyScope 5.12 e-Series controller in front of a plant that is connected already.

    Args:
        arm: The arm.
        plant: Moves at 500 Hz, in lock-step.
        clock: Time of receipt [s] for implied speeds and watchdogs; None is the controller's own time.
        lockstep: Whether clients are told that time passes only with their commands.
        on_input: Called after each package for the control script.
        on_command: Called with time [s], command number and its first six numbers, in order of arrival.
    """

    def __init__(
        self,
        arm: Arm,
        plant: Plant,
        clock: Callable[[], float] | None = None,
        lockstep: bool = False,
        on_input: Callable[[], None] | None = None,
        on_command: Callable[[float, int, list[float]], None] | None = None,
    ) -> None:
        self.arm, self.plant = arm, plant
        self.exchange = Exchange(self._received, lockstep)
        self.inputs, self.outputs = self.exchange.inputs, self.exchange.outputs
        self.geometry = Geometry(arm)
        self.motion = Motion(self.geometry)
        self.clock = clock or (lambda: self.time)
        self.script: ControlScript | None = None
        self.runtime_state, self.robot_mode = RuntimeState.STOPPED, RobotMode.RUNNING
        self.safety_mode, self.remote = SafetyMode.NORMAL, True
        self.ticks = 0
        self._on_input, self._on_command = on_input or (lambda: None), on_command or (lambda *_: None)
        self._stopped_at = 0.0
        self._watchdogs: dict[str, tuple[float, float]] = {}
        self._state = DriverState(arm.chain.n)
        plant.read(self._state)
        self.motion.place(self._state.q)
        self._fill_constants(lockstep)
        self._fill()

    @property
    def time(self) -> float:
        """The controller's own time [s]."""
        return self.ticks * DT

    @property
    def actual_q(self) -> list[float]:
        """Measured joint positions [rad]."""
        return [float(x) for x in self._state.q]

    @property
    def busy(self) -> bool:
        """Whether the program has something to do without a new command."""
        return self.script is not None and self.script.busy and self.runtime_state == RuntimeState.PLAYING

    def steady(self) -> bool:
        """Whether the arm stands still."""
        return self.motion.at_rest and bool(np.abs(self._state.dq).max() < STEADY_RAD_S)

    def speed_fraction(self) -> float:
        """The speed slider, 0 to 1."""
        return float(self.outputs["target_speed_fraction"])

    def tick(self) -> None:
        """Live through one period: watchdogs, program, set-point, World, outputs."""
        self.ticks += 1
        self._check_watchdogs()
        q, dq = self.motion.q.copy(), self.motion.dq.copy()
        self.motion.driven = False
        self._run_script()
        why = self.motion.violation()
        if why is not None:
            # Brake from the last set-point that kept the limits.
            self.motion.q[:], self.motion.dq[:] = q, dq
            self.protective_stop(why)
        if not self.motion.driven or self.safety_mode != SafetyMode.NORMAL:
            self.motion.brake(SAFETY_STOP)
        self.plant.write(self.motion.q)
        self.plant.advance()
        if self.plant.read(self._state) != PlantStatus.OK:
            self.protective_stop("the World behind the twin stopped")
        self._fill()

    def load(self, source: str) -> None:
        """Start the uploaded control script; a controller that is stopped or in local control takes none."""
        if self.robot_mode != RobotMode.RUNNING or self.safety_mode != SafetyMode.NORMAL or not self.remote:
            _log.warning("a program was refused: %s, %s, remote control %s", *self._modes())
            return
        self.end_program("replaced by another")
        self.script = ControlScript(self, source)
        self.runtime_state = RuntimeState.PLAYING

    def end_program(self, why: str) -> None:
        """Stop the program; the arm brakes and its watchdogs end with it."""
        if self.script is not None:
            _log.info("program stopped: %s", why)
        self.script, self.runtime_state = None, RuntimeState.STOPPED
        self._watchdogs.clear()

    def protective_stop(self, why: str) -> None:
        """Brake, pause the program, and wait to be unlocked."""
        if self.safety_mode != SafetyMode.NORMAL:
            return
        _log.warning("protective stop: %s", why)
        self.safety_mode, self._stopped_at = SafetyMode.PROTECTIVE_STOP, self.time
        if self.runtime_state == RuntimeState.PLAYING:
            self.runtime_state = RuntimeState.PAUSED
        self._watchdogs.clear()

    def unlock_protective_stop(self) -> bool:
        """Leave a protective stop; False before `UNLOCK_AFTER_S`. The program stays paused."""
        if self.safety_mode == SafetyMode.PROTECTIVE_STOP:
            if self.time - self._stopped_at < UNLOCK_AFTER_S:
                return False
            self.safety_mode = SafetyMode.NORMAL
        return True

    def emergency_stop(self) -> None:
        """Brake, end the program, take the power away."""
        self.end_program("emergency stop")
        self.safety_mode, self.robot_mode = SafetyMode.ROBOT_EMERGENCY_STOP, RobotMode.POWER_OFF

    def release_emergency_stop(self) -> None:
        """Pull the button out; power and brakes stay as they are."""
        if self.safety_mode == SafetyMode.ROBOT_EMERGENCY_STOP:
            self.safety_mode = SafetyMode.NORMAL

    def set_power(self, mode: RobotMode) -> None:
        """Change power and brakes; only a running arm keeps its program."""
        if mode != RobotMode.RUNNING:
            self.end_program("power off")
        self.robot_mode = mode

    def set_payload(self, mass: float, centre: list[float]) -> None:
        """Store mass [kg] and, unless it is zero, centre of gravity [m]; the World's own load does not change."""
        self.outputs["payload"] = mass
        if any(centre):
            self.outputs["payload_cog"] = centre

    def set_watchdog(self, register: str, rate_hz: float) -> None:
        """Stop the program when `register` is not written for 1 / rate_hz seconds."""
        if rate_hz > 0.0:
            self._watchdogs[register] = (1.0 / rate_hz, self.clock())

    def _check_watchdogs(self) -> None:
        now = self.clock()
        for register, (period, since) in self._watchdogs.items():
            if now - since > period:
                self.end_program(f"watchdog: {register} was silent for {now - since:.3f} s")
                return

    def _run_script(self) -> None:
        if self.script is None or self.runtime_state != RuntimeState.PLAYING:
            return
        try:
            self.script.step()
        except ScriptError as error:
            self.end_program(str(error))
            return
        if not self.script.alive:
            self.end_program("by itself")

    def _received(self, recipe: Recipe) -> None:
        names = recipe.names
        for register in self._watchdogs.keys() & set(names):
            self._watchdogs[register] = (self._watchdogs[register][0], self.clock())
        if self.script is not None and names[0] == self.script.command_register:
            code, numbers = self.script.command()
            if code:
                self._on_command(self.clock(), code, numbers)
            self._on_input()
        elif names[-1] in _IO:
            _IO[names[-1]](self)

    def _digital_out(self, kind: str, shift: int) -> None:
        mask, bits = self.inputs[f"{kind}_digital_output_mask"], self.inputs[f"{kind}_digital_output"]
        present = self.outputs["actual_digital_output_bits"]
        self.outputs["actual_digital_output_bits"] = present & ~(mask << shift) | (mask & bits) << shift

    def _analog_out(self) -> None:
        mask, kind = self.inputs["standard_analog_output_mask"], self.inputs["standard_analog_output_type"]
        for i in range(2):
            if mask >> i & 1:
                share = self.inputs[f"standard_analog_output_{i}"]
                # Bit set: 0 to 10 V; bit clear: 4 to 20 mA.
                self.outputs[f"standard_analog_output{i}"] = share * 10.0 if kind >> i & 1 else 0.004 + share * 0.016

    def _speed_slider(self) -> None:
        if self.inputs["speed_slider_mask"]:
            self.outputs["target_speed_fraction"] = min(max(self.inputs["speed_slider_fraction"], 0.0), 1.0)

    def _modes(self) -> tuple[str, str, bool]:
        return self.robot_mode.name, self.safety_mode.name, self.remote

    def _fill_constants(self, lockstep: bool) -> None:
        out = self.outputs
        out["joint_mode"], out["joint_temperatures"] = [253] * 6, [25.0] * 6
        out["actual_main_voltage"], out["actual_robot_voltage"] = 48.0, 48.0
        out["actual_joint_voltage"], out["target_speed_fraction"] = [48.0] * 6, 1.0
        out["actual_tool_accelerometer"], out[TWIN_FIELD] = [0.0, 0.0, 9.81], True
        if lockstep:
            out[LOCKSTEP_FIELD] = True

    def _fill(self) -> None:
        out, motion, state = self.outputs, self.motion, self._state
        previous = out["target_qd"]
        q, dq, q_d, dq_d = state.q.tolist(), state.dq.tolist(), motion.q.tolist(), motion.dq.tolist()
        tau = state.tau.tolist()
        current = [AMPERE_PER_NM * x for x in tau]
        out["timestamp"] = self.time
        out["actual_q"], out["actual_qd"], out["target_q"], out["target_qd"] = q, dq, q_d, dq_d
        out["target_qdd"] = [(a - b) / DT for a, b in zip(dq_d, previous, strict=True)]
        out["target_moment"], out["target_current"], out["actual_current"] = tau, current, current
        out["joint_control_output"] = current
        geometry = self.geometry
        out["actual_TCP_pose"], out["target_TCP_pose"] = geometry.tcp(state.q), geometry.tcp(motion.q)
        out["actual_TCP_speed"] = geometry.twist(state.q, state.dq).tolist()
        out["target_TCP_speed"] = geometry.twist(motion.q, motion.dq).tolist()
        out["tcp_offset"] = geometry.offset
        out["speed_scaling"] = out["target_speed_fraction"] if self.runtime_state == RuntimeState.PLAYING else 0.0
        self._fill_modes()

    def _fill_modes(self) -> None:
        out, playing = self.outputs, self.runtime_state == RuntimeState.PLAYING
        out["runtime_state"], out["robot_mode"], out["safety_mode"] = (
            int(self.runtime_state),
            int(self.robot_mode),
            int(self.safety_mode),
        )
        powered = Status.POWER_ON if self.robot_mode != RobotMode.POWER_OFF else 0
        out["robot_status_bits"] = int(powered | (Status.PROGRAM_RUNNING if playing else 0))
        out["safety_status"], out["safety_status_bits"] = int(self.safety_mode), _SAFETY_BITS[self.safety_mode]


_IO: dict[str, Callable[[Controller], None]] = {
    "standard_digital_output": lambda c: c._digital_out("standard", 0),
    "configurable_digital_output": lambda c: c._digital_out("configurable", 8),
    "tool_digital_output": lambda c: c._digital_out("tool", 16),
    "standard_analog_output_1": Controller._analog_out,
    "speed_slider_fraction": Controller._speed_slider,
}
"""What to do when a package ends with this input; masks come before values in every recipe of the known clients."""

_SAFETY_BITS: dict[SafetyMode, int] = {
    SafetyMode.NORMAL: Safety.NORMAL_MODE,
    SafetyMode.PROTECTIVE_STOP: Safety.PROTECTIVE_STOPPED | Safety.STOPPED_DUE_TO_SAFETY,
    SafetyMode.ROBOT_EMERGENCY_STOP: (
        Safety.ROBOT_EMERGENCY_STOPPED | Safety.EMERGENCY_STOPPED | Safety.STOPPED_DUE_TO_SAFETY
    ),
}
