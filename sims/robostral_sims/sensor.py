"""The wrist's force/torque sensor: from what acts on the flange to what a driver would deliver, tick by tick.

A real sensor between flange and tool reads the tool's weight as well, a bias, noise, late, and through a low pass. Its
driver takes the weight off and states force and moment at the tcp along the axes of `base`; so does this model.

The force limit of a task is held against the truth, through a filter that has a name: the mean of the force's magnitude
over `FILTER_S`. The raw peak of an impact is a figure of the engine's contact model rather than of the cell.
"""

import math

import numpy as np
from numpy.typing import NDArray

from robostral.arm.chain import Chain, FloatArray, frozen, invert
from robostral.jit import kernel
from robostral.kinematics.fk import tcp_pose_kernel
from robostral.kinematics.vector import Vec, add, cross, product, rotate, rotate_back
from robostral_sims.randomize import Plant
from robostral_sims.scene import ArmMount, ForceTorque, Tool
from robostral_sims.solids import compute_inertia

FILTER_S = 0.050
"""Window of the mean that the force limit is held against [s]."""

_ROTATION, _POSITION, _COM, _WEIGHT, _BIAS, _SHARE = 0, 9, 12, 15, 18, 24
"""Columns of the figures: pose of the flange in the tcp, the tool's centre in the flange [m], its weight in `base` [N],
bias in the flange's axes [N, N·m], share of the low pass per tick [1]."""
_AT, _FORCE_AT = 0, 1
READING, _SMOOTH = 0, 1
MEAN, PEAK, MEAN_VECTOR, FORCES = 0, 1, slice(2, 5), 5
"""Of `Wrist.force`: mean of the force's magnitude over `FILTER_S` now, its greatest value since `reset`, and the mean
of the force itself in `base` [N]."""


@kernel
def wrist_kernel(
    model: FloatArray,
    figures: FloatArray,
    q: FloatArray,
    raw: FloatArray,
    noise: FloatArray,
    late: FloatArray,
    window: FloatArray,
    at: NDArray[np.int64],
    state: FloatArray,
    force: FloatArray,
) -> None:
    """Take in one tick.

    Args:
        model: `Chain.model`.
        figures: What a `Wrist` packs, shape (25,).
        q: Measured positions [rad], shape (n,).
        raw: What tool and world exert on the flange, in `base` [N, N·m], shape (6,).
        noise: Of this tick, in the flange's axes [N, N·m], shape (6,).
        late: Readings on their way, shape (delay + 1, 6).
        window: Forces of the last ticks in `base` and their magnitudes [N], shape (ticks of `FILTER_S`, 4).
        at: Where the two rings stand, shape (2,).
        state: Row `READING` is filled with force [N] and moment [N·m] at the tcp in `base`, shape (2, 6).
        force: `MEAN`, `PEAK` and `MEAN_VECTOR` are filled [N], shape (5,).
    """
    r0, r1, r2, r3, r4, r5, r6, r7, r8, _, _, _ = tcp_pose_kernel(model, q)
    R_tcp, f = (r0, r1, r2, r3, r4, r5, r6, r7, r8), figures
    R = product(R_tcp, (f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8]))
    arm = rotate(R_tcp, (f[_POSITION], f[_POSITION + 1], f[_POSITION + 2]))
    weight = (f[_WEIGHT], f[_WEIGHT + 1], f[_WEIGHT + 2])
    about = cross(rotate(R, (f[_COM], f[_COM + 1], f[_COM + 2])), weight)
    F = (raw[0] - weight[0], raw[1] - weight[1], raw[2] - weight[2])
    N = (raw[3] - about[0], raw[4] - about[1], raw[5] - about[2])
    _average(F, window, at, force)
    row = late[at[_AT]]
    row[0], row[1], row[2] = rotate_back(R, F)
    row[3], row[4], row[5] = rotate_back(R, N)
    at[_AT] = (at[_AT] + 1) % late.shape[0]
    old, smooth = late[at[_AT]], state[_SMOOTH]
    for i in range(6):
        smooth[i] += f[_SHARE] * (old[i] + f[_BIAS + i] + noise[i] - smooth[i])
    F = rotate(R, (smooth[0], smooth[1], smooth[2]))
    N = add(rotate(R, (smooth[3], smooth[4], smooth[5])), cross(arm, F))
    state[READING, 0], state[READING, 1], state[READING, 2] = F
    state[READING, 3], state[READING, 4], state[READING, 5] = N


@kernel
def _average(F: Vec, window: FloatArray, at: NDArray[np.int64], force: FloatArray) -> None:
    now = window[at[_FORCE_AT]]
    now[0], now[1], now[2], now[3] = F[0], F[1], F[2], math.sqrt(F[0] * F[0] + F[1] * F[1] + F[2] * F[2])
    at[_FORCE_AT] = (at[_FORCE_AT] + 1) % window.shape[0]
    x, y, z, size = 0.0, 0.0, 0.0, 0.0
    for i in range(window.shape[0]):
        x, y, z, size = x + window[i, 0], y + window[i, 1], z + window[i, 2], size + window[i, 3]
    share = 1.0 / window.shape[0]
    force[MEAN], force[2], force[3], force[4] = share * size, share * x, share * y, share * z
    force[PEAK] = max(force[PEAK], force[MEAN])


class Wrist:
    """One arm's sensor, tick by tick.

    Args:
        chain: The arm with its tcp; its gravity gives the tool's weight.
        mass: Mass of the tool [kg], as the driver was told.
        com: Its centre of mass in the flange [m], shape (3,).
        dt_s: Control period [s].

    Attributes:
        reading: Force [N] and moment [N·m] at the tcp in `base`, without the tool's weight, shape (6,).
        force: The truth of the contact force: `MEAN`, `PEAK` and `MEAN_VECTOR` [N], shape (5,).
    """

    def __init__(self, chain: Chain, mass: float, com: FloatArray, dt_s: float) -> None:
        T_tcp_flange, self._model, self._dt_s = invert(chain.T_flange_tcp), chain.model, dt_s
        weight = mass * chain.model[chain.n + 2, 9:12]
        self._fixed = np.concatenate((T_tcp_flange[:3, :3].ravel(), T_tcp_flange[:3, 3], com, weight))
        self._state, self.force = np.zeros((2, 6)), np.zeros(FORCES)
        self.reading = self._state[READING]
        self._window = np.zeros((max(1, round(FILTER_S / dt_s)), 4))
        self._at, self._still = np.zeros(2, np.int64), frozen(np.zeros((1, 6)))

    @classmethod
    def of(cls, mount: ArmMount, chain: Chain, dt_s: float) -> "Wrist":
        """Make the sensor of a mounted arm, told of its nominal tool; `chain` is the arm's with that tool."""
        tool = mount.tool
        if not isinstance(tool, Tool):
            return cls(chain, 0.0, np.zeros(3), dt_s)
        return cls(chain, tool.mass, compute_inertia(tool.shape, tool.mass)[0], dt_s)

    def reset(self, sensor: ForceTorque, rng: np.random.Generator) -> None:
        """Begin an episode: nothing touched yet, and whatever noise comes is drawn from `rng`."""
        share = 1.0 - math.exp(-2.0 * math.pi * sensor.cutoff_hz * self._dt_s) if sensor.cutoff_hz > 0.0 else 1.0
        self._figures = frozen(np.concatenate((self._fixed, sensor.force_bias, sensor.torque_bias, [share])))
        self._late = np.zeros((1 + round(sensor.delay_s / self._dt_s), 6))
        self._spread = np.repeat((sensor.force_noise, sensor.torque_noise), 3)
        self._rng = rng
        self._state[READING], self._state[_SMOOTH] = 0.0, self._figures[_BIAS:_SHARE]
        self._at[:], self._window[:], self.force[:] = 0, 0.0, 0.0

    def noise(self, ticks: int) -> FloatArray:
        """Draw the noise of the next ticks, shape (ticks, 6)."""
        noise: FloatArray = self._rng.standard_normal((ticks, 6)) * self._spread
        return noise

    def step(self, q: FloatArray, raw: FloatArray, noise: FloatArray) -> None:
        """Take in one tick, see `wrist_kernel`."""
        wrist_kernel(
            self._model, self._figures, q, raw, noise, self._late, self._window, self._at, self._state, self.force
        )


def figures_of() -> tuple[str, ...]:
    """Return the names of the plant's figures that make a sensor, see `sensor_of`."""
    return ("force_noise", "torque_noise", *_BIASES, "wrench_delay_s", "wrench_cutoff_hz")


_BIASES = tuple(f"{kind}_bias_{axis}" for kind in ("force", "torque") for axis in "xyz")


def sensor_of(plant: Plant) -> ForceTorque:
    """Return the sensor of an episode's plant."""
    fx, fy, fz, mx, my, mz = (plant[name] for name in _BIASES)
    return ForceTorque(
        force_noise=plant["force_noise"],
        torque_noise=plant["torque_noise"],
        force_bias=(fx, fy, fz),
        torque_bias=(mx, my, mz),
        delay_s=plant["wrench_delay_s"],
        cutoff_hz=plant["wrench_cutoff_hz"],
    )
