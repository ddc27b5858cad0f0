"""What a site sets for its loop, and the figures of a contract that the loop needs, checked before anything runs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral.arm.limits import Q_MAX, Q_MIN
from robostral.contract import Contract
from robostral.errors import ConfigError
from robostral.guard import Workspace

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class LoopOptions:
    """What the site sets.

    Attributes:
        home: Where `home` leads [rad], shape (n,); None takes the arm's own.
        workspace: Where the guard lets the tcp go.
        max_chunk_age_s: The site's own cap on the age of a chunk [s].
        speed: Speed override at the start, (0, 1].
        session: Number of the first session; the next ones count up from it.
        bundle: First 8 bytes of the armed bundle's digest, as a number; answers of another one are refused.
        max_latency_s: No goal is taken while the policy answers slower than this, smoothed [s].
    """

    home: FloatArray | None = None
    workspace: Workspace | None = None
    max_chunk_age_s: float = 1.0
    speed: float = 1.0
    session: int = 1
    bundle: int = 0
    max_latency_s: float = 1.0


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


def ticks_per_question(contract: Contract, rate_hz: float) -> int:
    """Return the control ticks of a policy step.

    Raises:
        ConfigError: They are no whole number.
    """
    ticks = rate_hz / contract.rate.policy_hz
    if round(ticks) < 1 or abs(ticks - round(ticks)) > 1e-6:
        raise ConfigError(f"{rate_hz:g} Hz: a policy step of {1.0 / contract.rate.policy_hz:g} s is {ticks:g} ticks")
    return round(ticks)


def max_external_age_ns(contract: Contract) -> int:
    """Return the least `max_age_s` of the contract's signals [ns], 0 for none."""
    ages = [field.max_age_s for field in contract.obs if field.max_age_s is not None]
    return round(1e9 * min(ages)) if ages else 0
