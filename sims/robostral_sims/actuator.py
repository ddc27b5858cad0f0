"""What is between a command and a joint: dead time, first-order lag, torque limit and friction, for any engine."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral.arm.limits import TAU
from robostral.errors import ConfigError
from robostral.jit import kernel
from robostral_sims.scene import Scene

FloatArray = NDArray[np.float64]

BEND_RAD = math.radians(0.25)
"""How far a joint gives way before it breaks away [rad]: the stiction angle of a UR10e in Isaac Lab's gear guide."""
_SETTLING_S = 0.01
"""Ours: damping of a joint that sticks, over its stiffness [s]."""

SHARE, TAU_MAX, COULOMB, BREAK_AWAY, VISCOUS, STIFFNESS = range(6)
"""Rows of the table of figures: lag's share per tick [1], [N·m], [N·m], [N·m], [N·m·s/rad], [N·m/rad]."""


@kernel
def line_kernel(
    table: FloatArray, delay: NDArray[np.int64], tick: int, command: FloatArray, queue: FloatArray, out: FloatArray
) -> int:
    """Pass commands through dead time and lag.

    Args:
        table: Figures by row, shape (6, n); only `SHARE` is read.
        delay: Dead time per joint [ticks], shape (n,).
        tick: Ticks so far.
        command: One row per tick, shape (ticks, n).
        queue: The last commands, a ring, and in its last row what the lag has reached, shape (max delay + 2, n).
        out: Filled with what reaches the joints, shape (ticks, n).

    Returns:
        Ticks so far.
    """
    size = queue.shape[0] - 1
    for row in range(command.shape[0]):
        for i in range(command.shape[1]):
            queue[tick % size, i] = command[row, i]
            arrived = queue[(tick - delay[i]) % size, i]
            queue[size, i] += table[SHARE, i] * (arrived - queue[size, i])
            out[row, i] = queue[size, i]
        tick += 1
    return tick


@kernel
def friction_kernel(table: FloatArray, dt_s: float, dq: FloatArray, bristle: FloatArray, tau: FloatArray) -> None:
    """Limit joint torques in place, and take the friction of the gears off them.

    A joint that sticks is held by a damped spring; beyond its break-away torque it slides against Coulomb's friction,
    until it turns back. Viscous friction acts always.

    Args:
        table: Figures by row, shape (6, n).
        dt_s: Length of a tick [s].
        dq: Joint velocities [rad/s], shape (n,).
        bristle: Bend of the spring [rad] and whether it slides, 0 or 1; updated, shape (2, n).
        tau: Torques of the motors [N·m], shape (n,); becomes those on the joints.

    Note:
        The bend of a bristle as the state of friction: Dahl (1968), "A solid friction model".
    """
    for i in range(tau.shape[0]):
        limit, stiffness = table[TAU_MAX, i], table[STIFFNESS, i]
        tau[i] = min(max(tau[i], -limit), limit) - table[VISCOUS, i] * dq[i]
        if stiffness == 0.0:
            continue
        coulomb = table[COULOMB, i] / stiffness
        bend = bristle[0, i] + dt_s * dq[i]
        if bristle[1, i] == 1.0 and bend * dq[i] <= 0.0:
            bristle[1, i] = 0.0
        if abs(bend) * stiffness > table[BREAK_AWAY, i] or (bristle[1, i] == 1.0 and abs(bend) > coulomb):
            bristle[1, i] = 1.0
            bend = math.copysign(coulomb, bend)
        damping = 0.0 if bristle[1, i] == 1.0 else _SETTLING_S * dq[i]
        bristle[0, i] = bend
        tau[i] -= stiffness * (bend + damping)


class Actuators:
    """The actuators of all arms of a scene.

    Args:
        scene: The cell.
        arms: The model of each of its arms.
        dt_s: Length of a tick [s].

    Raises:
        ConfigError: A friction row has another length than the arm has joints.
    """

    def __init__(self, scene: Scene, arms: Sequence[Arm], dt_s: float) -> None:
        self._dt_s = dt_s
        columns, delays = [], []
        for mount, arm in zip(scene.arms, arms, strict=True):
            n, model = arm.chain.n, mount.actuator
            rows = {name: _row(mount.device, name, getattr(model, name), n) for name in _FRICTION}
            breaks = rows["coulomb"] + rows["stiction"]
            share = 1.0 - math.exp(-dt_s / model.lag_s) if model.lag_s > 0.0 else 1.0
            limit = arm.limits.array[TAU]
            columns.append([np.full(n, share), limit, rows["coulomb"], breaks, rows["viscous"], breaks / BEND_RAD])
            delays.append(np.full(n, round(model.delay_s / dt_s), dtype=np.int64))
        self._table = np.ascontiguousarray(np.concatenate(columns, axis=1))
        self._delay = np.concatenate(delays)
        n = self._delay.size
        self._queue, self._out = np.zeros((int(self._delay.max()) + 2, n)), np.zeros((1, n))
        self._tau: FloatArray = self._out[0]
        self._bristle = np.zeros((2, n))
        self.follows_at_once = not self._delay.any() and bool((self._table[SHARE] == 1.0).all())
        self.reset(np.zeros(n))

    def reset(self, q_c: FloatArray) -> None:
        """Forget what was: the line is full of the command `q_c` [rad], shape (n,), no joint is bent."""
        self._queue[:], self._tick, self._torques = q_c, 0, False
        self._bristle[:] = 0.0

    def positions(self, q_c: FloatArray) -> FloatArray:
        """Return the set-points [rad] that reach the servos while `q_c` is commanded, shape (ticks, n) both."""
        if self._torques:
            self._queue[:], self._torques = q_c[0], False
        if self.follows_at_once:
            return q_c
        out = np.empty_like(q_c)
        self._tick = line_kernel(self._table, self._delay, self._tick, q_c, self._queue, out)
        return out

    def torques(self, tau_c: FloatArray, dq: FloatArray) -> FloatArray:
        """Return the torques on the joints [N·m] in a tick at velocities `dq` [rad/s]; valid until the next call.

        Args:
            tau_c: Commanded torques [N·m], shape (n,). The first ones after a reset have been there for ever.
            dq: Shape (n,).
        """
        if not self._torques:
            self._queue[:], self._torques = tau_c, True
        self._tick = line_kernel(self._table, self._delay, self._tick, tau_c[None], self._queue, self._out)
        friction_kernel(self._table, self._dt_s, dq, self._bristle, self._tau)
        return self._tau


_FRICTION = ("coulomb", "viscous", "stiction")


def _row(device: str, name: str, values: tuple[float, ...], n: int) -> FloatArray:
    if values and len(values) != n:
        raise ConfigError(f"'{device}': {name} has {len(values)} values for {n} joints")
    return np.array(values or (0.0,) * n)
