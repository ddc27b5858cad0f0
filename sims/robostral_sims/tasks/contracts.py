"""Contracts of the tasks: what they have in common, said once."""

from collections.abc import Mapping
from typing import Literal

from robostral.arm import Arm
from robostral.contract import Action, Contract, Device, Impedance, Rate
from robostral.signals import joint_units, obs_field

_NO_AGES: Mapping[str, float] = {}


def joint_action(arm: Arm, bound: tuple[float, ...], dt_s: float, horizon: int) -> Action:
    """Return an action of joint steps that are at most `bound` [rad or m] each, shape (n,), `horizon` of `dt_s` [s]."""
    return Action(
        kind="joint_position_delta",
        low=tuple(-x for x in bound),
        high=bound,
        unit=joint_units(arm.chain),
        frame="joint",
        horizon=horizon,
        dt_s=dt_s,
        chunk_valid_s=horizon * dt_s,
    )


def tcp_action(
    arm: Arm,
    step: tuple[float, float],
    dt_s: float,
    horizon: int,
    *,
    tool_most: float | None = None,
    unit: str = "m, rad",
    impedance: Impedance | None = None,
) -> Action:
    """Return an action of steps of the tcp in `base`, near the posture of the arm's home.

    Args:
        arm: The arm.
        step: Greatest translation [m] and rotation [rad] per chunk step and axis.
        dt_s: Length of a chunk step [s].
        horizon: Steps in a chunk.
        tool_most: Greatest number of the tool, the least is 0; None where it has none.
        unit: Units of the action's numbers.
        impedance: Figures of the law; None is the plant's own position servo.
    """
    bound, tool = (step[0],) * 3 + (step[1],) * 3, tool_most is not None
    return Action(
        kind="tcp_pose_delta",
        low=(*(-x for x in bound), *([0.0] * tool)),
        high=(*bound, *([tool_most] if tool_most is not None else [])),
        unit=unit,
        frame="base",
        horizon=horizon,
        dt_s=dt_s,
        chunk_valid_s=horizon * dt_s,
        posture=tuple(arm.home.tolist()),
        impedance=impedance,
    )


def contract_of(
    name: str,
    arm: Arm,
    fields: tuple[str, ...],
    action: Action,
    latency_s: float,
    tool: Device | None = None,
    max_age_s: Mapping[str, float] = _NO_AGES,
) -> Contract:
    """Return the contract of a policy that is asked once per chunk step.

    Args:
        name: What the policy is for.
        arm: The arm, the first device.
        fields: Names of the observation's fields.
        action: What it commands.
        latency_s: Greatest latency that it is trained with [s].
        tool: The second device, if any.
        max_age_s: Of fields that may be older than the signals' own table says [s].
    """
    signs: list[Literal[-1, 1]] = [1] * arm.chain.n
    devices = (Device("arm", arm.chain.joint_names, tuple(signs)), *([tool] if tool else []))
    obs = tuple(obs_field(field, arm.chain, max_age_s.get(field)) for field in fields)
    return Contract(name, devices, obs, action, Rate(1.0 / action.dt_s, latency_s))
