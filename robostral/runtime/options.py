"""What a site sets for its loop, and the figures of a contract that the loop needs, checked before anything runs."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm, Chain, load_arm
from robostral.arm.limits import Q_MAX, Q_MIN
from robostral.contract import Contract
from robostral.control.law import command_mode_of
from robostral.driver import DriverInfo
from robostral.errors import ConfigError
from robostral.guard import Workspace
from robostral.identified import IdentifiedArm
from robostral.keep_out import KeepOut
from robostral.kinematics.se3 import matrix_from_quat_kernel
from robostral.runtime.config import RunConfig

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class LoopOptions:
    """What the site sets.

    Attributes:
        home: Where `home` leads [rad], shape (n,); None takes the arm's own.
        workspace: Where the guard lets the tcp go.
        keep_out: Shapes in `base` that the guard keeps the arm out of.
        payload: What the flange carries: mass [kg] and centre of mass in it [m]; the law of torques holds it up.
        energy: Greatest kinetic energy in torque mode [J].
        identified: The arm as its logs told: its inertias and friction in the law of torques, and contacts.
        stop_on_contact: Whether a contact stops the arm.
        reduced: Whether the tcp is limited to 250 mm/s.
        max_chunk_age_s: The site's own cap on the age of a chunk, streamed or synchronous [s].
        speed: Speed override at the start, (0, 1].
        session: Number of the first session; the next ones count up from it.
        bundle: First 8 bytes of the armed bundle's digest, as a number; answers of another one are refused.
        max_latency_s: Chunks are synchronous while the policy takes longer than this, smoothed [s].
        strict: Whether late wake-ups before the first arming forbid it.
        fits: Whether the policy may run on a chain with another tool.
    """

    home: FloatArray | None = None
    workspace: Workspace | None = None
    keep_out: tuple[KeepOut, ...] = ()
    payload: tuple[float, float, float, float] | None = None
    energy: float = np.inf
    identified: IdentifiedArm | None = None
    stop_on_contact: bool = False
    reduced: bool = False
    max_chunk_age_s: float = 1.0
    speed: float = 1.0
    session: int = 1
    bundle: int = 0
    max_latency_s: float = 1.0
    strict: bool = False
    fits: Callable[[Chain], bool] = lambda _: True


def site_arm(config: RunConfig) -> Arm:
    """Load the arm with the tool that the site has mounted.

    Raises:
        UnknownName: No such arm.
        ConfigError: The tool's quaternion is none.
    """
    arm = load_arm(config.arm)
    if config.tool is None:
        return arm
    if not 0.99 < float(np.linalg.norm(config.tool[3:])) < 1.01:
        raise ConfigError(f"tool: the quaternion w x y z {list(config.tool[3:])} has not the norm 1")
    return replace(arm, chain=arm.chain.with_tcp(pose_matrix(np.array(config.tool))))


def pose_matrix(pose: FloatArray) -> FloatArray:
    """Return the transform, shape (4, 4), of a position [m] and quat_wxyz, shape (7,)."""
    T = np.eye(4)
    matrix_from_quat_kernel(pose[3:7], T[:3, :3])
    T[:3, 3] = pose[:3]
    return T


def home_of(home: FloatArray | None, arm: Arm) -> FloatArray:
    """Return the site's home, or the arm's own [rad], shape (n,).

    Raises:
        ConfigError: It has another size, or is outside the joints' range.
    """
    target = np.array(arm.home if home is None else home, dtype=np.float64)
    if target.shape != (arm.chain.n,):
        raise ConfigError(f"home has {target.size} numbers, arm '{arm.name}' has {arm.chain.n} joints")
    low, high = arm.limits.array[Q_MIN], arm.limits.array[Q_MAX]
    for joint, q, least, most in zip(arm.chain.joint_names, target, low, high, strict=True):
        if not least <= q <= most:
            raise ConfigError(f"home: joint '{joint}' = {q:.4g} rad is outside [{least:.4g}, {most:.4g}]")
    return target


def check_abilities(contract: Contract, info: DriverInfo) -> None:
    """Refuse, before anything is armed, a contract that the loop and this driver cannot carry out.

    Raises:
        ConfigError: Names the command mode that the driver lacks, or what the policy needs beyond the arm's joints.
    """
    mode, need = command_mode_of(contract), []
    if mode not in info.command_modes:
        modes = ", ".join(info.command_modes) or "none"
        raise ConfigError(f"driver '{info.name}' takes no {mode}, which the policy's law needs (modes: {modes})")
    if contract.tools:
        need.append(f"commands the tool '{contract.devices[1].name}' ({', '.join(contract.tools)})")
    measured = {"q", "dq", *info.senses}
    sensors = [field.name for field in contract.obs if field.source == "driver" and field.name not in measured]
    if sensors:
        need.append(f"sees {', '.join(sensors)}")
    if need:
        raise ConfigError(
            f"the policy {' and '.join(need)}; driver '{info.name}' offers {', '.join(('joints', *info.senses))} only"
        )


def check_identified(options: LoopOptions, info: DriverInfo) -> None:
    """Refuse to feel contacts where nothing is known, or measured, that would tell of them.

    Raises:
        ConfigError: No identified arm, or a driver that measures no torques.
    """
    if options.stop_on_contact and options.identified is None:
        raise ConfigError("stop_on_contact needs `identified`: the arm bundle that `robostral identify` writes")
    if options.identified is not None and "tau" not in info.senses:
        raise ConfigError(f"identified: driver '{info.name}' measures no torques; leave the arm bundle out")


def ticks_per_question(contract: Contract, rate_hz: float) -> int:
    """Return the control ticks of a policy step.

    Raises:
        ConfigError: They are no whole number.
    """
    ticks = rate_hz / contract.rate.policy_hz
    if round(ticks) < 1 or abs(ticks - round(ticks)) > 1e-6:
        raise ConfigError(f"{rate_hz:g} Hz: a policy step of {1.0 / contract.rate.policy_hz:g} s is {ticks:g} ticks")
    return round(ticks)
