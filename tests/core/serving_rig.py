"""A policy that is arithmetic, and its contract: what the serving tests serve over real sockets and real keys."""

import numpy as np
from numpy.typing import NDArray

from robostral.contract import Action, Contract, Device, ObsField, Rate, Sealed
from robostral.serving.hosted import Hosted

JOINTS = tuple(f"joint_{i}" for i in range(6))


def make_contract(horizon: int = 3, policy_hz: float = 25.0) -> Contract:
    bound = (0.06,) * 6
    return Contract(
        task="reach",
        devices=(Device("arm", JOINTS, (1,) * 6),),
        obs=(
            ObsField("q", (6,), "rad", "base", "driver"),
            ObsField("goal", (3,), "m", "base", "external", max_age_s=1.0),
        ),
        action=Action(
            "joint_position_delta", tuple(-b for b in bound), bound, "rad", "base", horizon, 0.04, horizon * 0.04
        ),
        rate=Rate(policy_hz, 0.02),
    )


SEALED = Sealed.seal(make_contract())
DIGEST = bytes(range(32))


class Arithmetic:
    """chunk[row, h, i] = (h + 1) * obs[row, i]."""

    def __init__(self, sealed: Sealed = SEALED) -> None:
        self.sealed = sealed
        self.calls: list[int] = []
        self.fail = False

    def infer(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.fail:
            raise RuntimeError("out of order")
        self.calls.append(len(obs))
        horizon = self.sealed.contract.action.horizon
        steps = np.arange(1, horizon + 1, dtype=np.float32)
        return steps[None, :, None] * obs[:, None, :6]

    def close(self) -> None:
        self.calls.clear()


def host(name: str = "arithmetic-v1", sealed: Sealed = SEALED) -> Hosted:
    return Hosted(Arithmetic(sealed), name, DIGEST)


def observe(rows: int = 1, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(rows, 9)).astype(np.float32)
