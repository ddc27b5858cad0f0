"""Check a plant against what a policy asks of it: ranges, each refusal names the figure."""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm, arm_names, load_arm
from robostral.arm.chain import KIND, Chain
from robostral.arm.limits import Q_MIN, ROW_NAMES
from robostral.contract import Requirements
from robostral.errors import ConfigError, RequirementsNotMet, UnknownName
from robostral.kinematics.fk import tcp_kernel

SAMPLES = 64
"""Configurations at which two chains are compared."""


def requirements_of(
    arm: Arm,
    *,
    max_latency_s: float,
    control_hz: tuple[float, float] = (125.0, 1000.0),
    command_modes: Sequence[str] = ("joint_position",),
    tolerance_mm: float = 1.0,
    tolerance_mrad: float = 1.0,
    max_batch: int = 64,
) -> Requirements:
    """Write down what a policy trained on `arm` asks of a plant.

    Args:
        arm: The arm as trained.
        max_latency_s: Greatest latency trained for, from observation to usable chunk [s].
        control_hz: Range of control rates [Hz].
        command_modes: What the control law may send.
        tolerance_mm: How far the tcp of another arm may be from the trained one's, same q [mm].
        tolerance_mrad: The same for its orientation [mrad].
        max_batch: Greatest number of observations in one request.

    Raises:
        ConfigError: The arm has no limits profile.
    """
    limits = tuple(tuple(f if math.isfinite(f) else None for f in row) for row in arm.limits.array.tolist())
    digest = kinematics_digest(arm.chain)
    modes = tuple(command_modes)
    return Requirements(
        control_hz, modes, arm.name, digest, tolerance_mm, tolerance_mrad, limits, max_latency_s, max_batch
    )


def check_requirements(
    requirements: Requirements, arm: Arm, *, control_hz: float, command_mode: str, latency_s: float | None = None
) -> None:
    """Refuse a plant that is outside the trained ranges.

    Args:
        requirements: What the policy asks for.
        arm: The arm as it runs here.
        control_hz: Control rate [Hz].
        command_mode: What the control law sends.
        latency_s: Measured latency from observation to usable chunk [s]; None if it is not measured yet.

    Raises:
        RequirementsNotMet: Lists every figure that is outside.
        ConfigError: The arm has no limits profile.
    """
    figures = []
    low, high = requirements.control_hz
    if not low <= control_hz <= high:
        figures.append(f"control rate {control_hz:g} Hz outside [{low:g}, {high:g}]")
    if command_mode not in requirements.command_modes:
        figures.append(f"command mode '{command_mode}' is none of {', '.join(requirements.command_modes)}")
    if latency_s is not None and not latency_s <= requirements.max_latency_s:
        figures.append(f"latency {latency_s * 1e3:.3g} ms above the trained {requirements.max_latency_s * 1e3:.3g} ms")
    figures += _kinematics(requirements, arm.chain)
    figures += _limits(requirements, arm)
    if figures:
        raise RequirementsNotMet(figures)


def check_profile(arm: Arm) -> None:
    """Refuse a limits profile of one's own that allows more than the vendor does.

    Rows that no vendor publishes (their source begins with `ours`) are the owner's to set.

    Raises:
        ConfigError: Lists every figure that is looser than the shipped profile of the arm of this name.
    """
    if arm.name not in arm_names():
        return
    vendor = load_arm(arm.name).limits
    if vendor.array.shape != arm.limits.array.shape:
        raise ConfigError(f"arm '{arm.name}': limits of shape {arm.limits.array.shape}, not {vendor.array.shape}")
    figures = []
    for row, joint in np.ndindex(vendor.array.shape):
        bound, figure = float(vendor.array[row, joint]), float(arm.limits.array[row, joint])
        looser = not figure >= bound - 1e-9 if row == Q_MIN else not figure <= bound + 1e-9
        if looser and not vendor.sources[ROW_NAMES[row]].startswith("ours"):
            name = arm.chain.joint_names[joint]
            figures.append(f"{ROW_NAMES[row]} of '{name}' is {figure:g}, the vendor allows {bound:g}")
    if vendor.taper is not None and (arm.limits.taper is None or _looser_taper(arm.limits.taper, vendor.taper)):
        figures.append("dq_taper is missing, or looser than the vendor's")
    if figures:
        raise ConfigError(f"arm '{arm.name}': the limits profile is looser than the vendor's: {'; '.join(figures)}")


def _looser_taper(taper: NDArray[np.float64], vendor: NDArray[np.float64]) -> bool:
    return taper.shape != vendor.shape or bool(
        (taper[0] < vendor[0] - 1e-9).any() or (taper[1] > vendor[1] + 1e-9).any()
    )


def kinematics_digest(chain: Chain) -> str:
    """Compute the SHA-256 of a chain's geometry up to the tcp, rounded to 1e-9, without masses and gravity."""
    rows = [*range(chain.n), chain.n + 1]
    geometry = np.round(chain.model[rows, : KIND + 1], 9) + 0.0  # + 0.0 makes -0.0 one with 0.0
    return hashlib.sha256(geometry.astype("<f8").tobytes()).hexdigest()


def compare_kinematics(a: Chain, b: Chain) -> tuple[float, float]:
    """Measure how far the tcps of two chains are apart at the same q: greatest distance [mm] and angle [mrad]."""
    T_a, T_b = np.empty((4, 4)), np.empty((4, 4))
    millimetres = milliradians = 0.0
    for q in np.random.default_rng(0).uniform(-math.pi, math.pi, (SAMPLES, a.n)):
        tcp_kernel(a.model, q, T_a)
        tcp_kernel(b.model, q, T_b)
        millimetres = max(millimetres, 1e3 * float(np.linalg.norm(T_a[:3, 3] - T_b[:3, 3])))
        milliradians = max(milliradians, 1e3 * _angle(T_a[:3, :3], T_b[:3, :3]))
    return millimetres, milliradians


def _angle(R_a: NDArray[np.float64], R_b: NDArray[np.float64]) -> float:
    # ||R_a - R_b|| = 2 sqrt(2) sin(angle / 2): exact for small angles, where the trace is not.
    return 2.0 * math.asin(min(1.0, float(np.linalg.norm(R_a - R_b)) / (2.0 * math.sqrt(2.0))))


def _kinematics(requirements: Requirements, chain: Chain) -> list[str]:
    if kinematics_digest(chain) == requirements.kinematics_sha256:
        return []
    try:
        trained = load_arm(requirements.arm).chain.with_tcp(chain.T_flange_tcp)
    except UnknownName:
        return [f"trained on arm '{requirements.arm}', which is not known here, and the kinematics differ"]
    if kinematics_digest(trained) != requirements.kinematics_sha256:
        return [f"kinematics or tcp differ from the trained '{requirements.arm}', and so does this release's own"]
    if trained.n != chain.n:
        return [f"{chain.n} joints, trained with {trained.n}"]
    mm, mrad = compare_kinematics(trained, chain)
    figures = []
    if mm > requirements.kinematics_tolerance_mm:
        figures.append(f"tcp {mm:.3g} mm from the trained arm's, allowed {requirements.kinematics_tolerance_mm:g} mm")
    if mrad > requirements.kinematics_tolerance_mrad:
        allowed = requirements.kinematics_tolerance_mrad
        figures.append(f"tcp {mrad:.3g} mrad from the trained arm's, allowed {allowed:g} mrad")
    return figures


def _limits(requirements: Requirements, arm: Arm) -> list[str]:
    none = {Q_MIN: -math.inf}
    trained = [[none.get(i, math.inf) if f is None else f for f in row] for i, row in enumerate(requirements.limits)]
    here = arm.limits.array
    if np.shape(trained) != here.shape:
        return [f"limits of shape {here.shape}, trained with {np.shape(trained)}"]
    figures = []
    for row, joint in np.ndindex(here.shape):
        bound, figure = trained[row][joint], float(here[row, joint])
        outside = figure < bound - 1e-9 if row == Q_MIN else figure > bound + 1e-9
        if outside:
            name = arm.chain.joint_names[joint]
            figures.append(f"{ROW_NAMES[row]} of '{name}' is {figure:g}, trained inside {bound:g}")
    return figures
