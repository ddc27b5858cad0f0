"""Domain randomisation as data: what is drawn anew for every episode, from the environment's seed, and reported."""

import math

import msgspec
import numpy as np

from robostral_sims.scene import Scene, Servo


class Randomization(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ranges of the figures that no two plants share; a range with two equal ends is a constant.

    Note:
        Ours: a UR's servo gains are not published. Lag in steady motion spans 0 to 10 ms; the time from an observation
        to the use of its chunk spans what the contract calls the trained latency.
    """

    stiffness: tuple[float, float] = (50.0, 200.0)
    """Servo's position gain [1/s], log-uniform."""
    feed_forward: tuple[float, float] = (0.5, 1.0)
    """Servo's share of velocity feed-forward [1], uniform."""
    latency_s: tuple[float, float] = (0.0, 0.02)
    """From the observation to the use of its chunk [s], uniform."""


class Plant(msgspec.Struct, frozen=True):
    """What was drawn for one episode; `info["plant"]` holds its figures."""

    servo: Servo
    latency_s: float

    def apply(self, scene: Scene) -> Scene:
        """Return the scene with this plant's figures in place of its own."""
        arms = tuple(msgspec.structs.replace(arm, servo=self.servo) for arm in scene.arms)
        return msgspec.structs.replace(scene, arms=arms)

    def figures(self) -> dict[str, float]:
        """Return what was drawn, by name."""
        servo = self.servo
        return {"stiffness": servo.stiffness, "feed_forward": servo.feed_forward, "latency_s": self.latency_s}


NOMINAL = Plant(Servo(), 0.0)
"""Nothing drawn: every figure as the scene's defaults have it, and no latency."""


def draw(ranges: Randomization, rng: np.random.Generator) -> Plant:
    """Draw the plant of one episode."""
    stiffness = math.exp(rng.uniform(*np.log(ranges.stiffness)))
    return Plant(Servo(stiffness, rng.uniform(*ranges.feed_forward)), rng.uniform(*ranges.latency_s))
