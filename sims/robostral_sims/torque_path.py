"""The impedance path of a policy step: at every tick state, law, guard, joint torques, sensor.

Position servos take a whole policy step of set-points at once; a law that answers contact needs the state of every
tick. What is Python here is one call of the law, one of the engine, two readings and one of the sensor.
"""

import numpy as np
from numpy.typing import NDArray

from robostral.contract import Impedance
from robostral.control.ticks import ImpedanceTick
from robostral.guard import Guard
from robostral_sims.engines import World
from robostral_sims.scene import ArmMount, ForceTorque
from robostral_sims.sensor import Wrist

FloatArray = NDArray[np.float64]


class TorquePath:
    """Law, sensor and World of one arm, tick by tick.

    Args:
        guard: Guard of the arm; its chain is that of the arm with its tool.
        impedance: The law's figures.
        mount: The arm with its tool, nominal: what a driver would be told of it.

    Attributes:
        wrist: The force/torque sensor.
    """

    def __init__(self, guard: Guard, impedance: Impedance, mount: ArmMount) -> None:
        self._tick, self.wrist = ImpedanceTick(guard, impedance), Wrist.of(mount, guard.chain, guard.dt)
        self._q, self._dq, self._tau, self._tau_c = np.zeros((4, guard.chain.n))
        self._wrenches, self._dt_s = np.zeros((1, 6)), guard.dt

    def reset(self, world: World, q: FloatArray, sensor: ForceTorque | None, rng: np.random.Generator) -> None:
        """Begin an episode at rest at `q` [rad], shape (n,); the sensor's noise is drawn from `rng`."""
        self._world = world
        self._tick.reset(q)
        self.wrist.reset(sensor or ForceTorque(), rng)
        world.read(self._q, self._dq, self._tau)

    def run(self, q_seam: FloatArray, knots: FloatArray, step_s: float, t: float, ticks: int) -> None:
        """Live through some ticks of a chunk, the first of which begins `t` seconds after its seam."""
        world, tick, wrist, noise = self._world, self._tick, self.wrist, self.wrist.noise(ticks)
        q, dq, tau, tau_c, wrenches = self._q, self._dq, self._tau, self._tau_c, self._wrenches
        for k in range(ticks):
            tick(q_seam, knots, step_s, t + (k + 1) * self._dt_s, q, dq, tau_c)
            world.run_torque(tau_c)
            world.read(q, dq, tau)
            world.read_wrenches(wrenches)
            wrist.step(q, wrenches[0], noise[k])
