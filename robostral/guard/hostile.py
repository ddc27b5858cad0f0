"""Hostile set-points against the guard, compiled: what is asked, what came out, and whether it could have stopped."""

import math

import numpy as np
from numpy.typing import NDArray

from robostral.arm.chain import FloatArray
from robostral.guard import kernels
from robostral.guard import table as at
from robostral.guard.checks import LOOK_MARGIN
from robostral.guard.clearance import place_links, room_left
from robostral.guard.torque import torque_kernel
from robostral.jit import allocating, kernel
from robostral.kinematics.fk import tcp_kernel

IntArray = NDArray[np.int64]

SWAP_TICKS = 90
"""Another style of attack, with another aim, begins in mid-motion after so many ticks."""
STOP_EVERY = 97
"""Every so often the arm is stopped by way of trial, each limit of the way to rest checked."""


@kernel
def ask(
    rng: np.random.Generator,
    style: int,
    k: int,
    table: FloatArray,
    state: FloatArray,
    goal: FloatArray,
    gain: float,
    q_d: FloatArray,
) -> None:
    """Make one hostile set-point, mostly far beyond what the limits allow but near enough not to be a jump."""
    for i in range(q_d.shape[0]):
        V, w = table[at.V, i], state[at.W, i]
        if style == 0:  # bang-bang
            step = gain * V if rng.random() < 0.5 else -gain * V
        elif style == 1:  # constant, far too fast or not
            step = goal[i] * V
        elif style == 2:  # chirp
            step = gain * V * math.sin(1e-6 * k * (k % 3000) + i)
        elif style == 3:  # random walk of the velocity
            step = w + 0.2 * gain * V * rng.standard_normal()
        elif style == 4:  # teleports and rests
            step = 9.0 * V * goal[i] if rng.random() < 0.02 else 0.0
        elif style == 5:  # a policy's chunk, played again from wherever the arm is now
            swing = 0.3 * goal[i] * math.sin(0.02 * (k % 700) + 2.0 * i)
            step = 0.1 * (0.5 * (table[at.HIGH, i] + table[at.LOW, i]) + swing - state[at.Q, i])
        else:  # straight to a corner of the joints' range
            edge = table[at.HIGH, i] + 0.1 if goal[i] > 0.0 else table[at.LOW, i] - 0.1
            step = edge - state[at.Q, i]
        most = 0.019 if state[at.META, at.FRESH] != 0.0 else 9.0 * V
        q_d[i] = state[at.Q, i] + min(max(step, -most), most)


@allocating
def moving(state: FloatArray, n: int) -> bool:
    """Tell whether the last command moves."""
    return bool(np.any(state[at.W, :n] != 0.0) or np.any(state[at.B, :n] != 0.0))


@allocating
def stop_ticks(model: FloatArray, table: FloatArray, state: FloatArray, counts: IntArray, n: int) -> int:
    """Brake until rest; return the ticks it took, or -1 if a difference of the commands broke a limit."""
    q, w, b = state[at.Q, :n].copy(), state[at.W, :n].copy(), state[at.B, :n].copy()
    for tick in range(20_000):
        at_rest = kernels.brake_kernel(model, table, state, counts, at.FIGURE)
        for i in range(n):
            w_new = state[at.Q, i] - q[i]
            b_new = w_new - w[i]
            slack = 1.0 + 5e-7
            if abs(w_new) > slack * table[at.V, i] or abs(b_new) > slack * table[at.A, i]:
                return -1
            if abs(b_new - b[i]) > slack * table[at.D, i]:
                return -1
            if not table[at.LOW, i] - at.POSITION_MARGIN <= state[at.Q, i] <= table[at.HIGH, i] + at.POSITION_MARGIN:
                return -1
            q[i], w[i], b[i] = state[at.Q, i], w_new, b_new
        if (tick % 4 == 0 or at_rest == 1) and least_room(model, table, state) < -LOOK_MARGIN:
            return -1
        if at_rest == 1:
            return tick + 1
    return -1


@kernel
def least_room(model: FloatArray, table: FloatArray, state: FloatArray) -> float:
    """Compute the least room of all checks at the last command [m]."""
    least = math.inf
    place_links(model, state, at.Q)
    for c in range(at.CHECKS, table.shape[0]):
        least = min(least, room_left(table[c], state))
    return least


@allocating
def attack(
    model: FloatArray,
    table: FloatArray,
    state: FloatArray,
    counts: IntArray,
    rng: np.random.Generator,
    log: FloatArray,
    codes: IntArray,
    starts: IntArray,
) -> tuple[int, int, float, float]:
    """Ask for hostile set-points, re-arm after each stop; log commands (row 0 is the start pose).

    Returns:
        How many segments began, how many sampled stops were not possible, least room of the tcp to the real wall [m],
        greatest tcp step over its limit.
    """
    n = log.shape[1]
    q_d, goal, T, at_tcp = np.zeros(n), np.zeros(n), np.zeros((4, 4)), np.zeros(3)
    gain, style, segments, impossible, room, fastest = 1.0, 0, 1, 0, math.inf, 0.0
    saved, saved_counts = state.copy(), counts.copy()
    log[0], codes[0], starts[0] = state[at.Q, :n], 0, 0
    for k in range(1, log.shape[0]):
        if k % SWAP_TICKS == 1:
            style, gain = int(7.0 * rng.random()), 10.0 ** rng.uniform(-2.0, 0.9)
            for i in range(n):
                goal[i] = rng.uniform(-1.0, 1.0) * gain
        if state[at.META, at.LATCH] != 0.0 and not moving(state, n):
            q_d[:] = state[at.Q, :n]
            codes[k] = kernels.reset_kernel(model, table, state, counts, q_d)
            starts[segments] = k
            segments += 1
        else:
            ask(rng, style, k, table, state, goal, gain, q_d)
            codes[k] = kernels.reference_kernel(model, table, state, counts, q_d)
        log[k] = state[at.Q, :n]
        tcp_kernel(model, log[k], T)
        step = 0.0
        for axis in range(3):
            p = T[axis, 3]
            room = min(room, p - table[at.BOX_LOW, axis], table[at.BOX_HIGH, axis] - p)
            step += (p - at_tcp[axis]) ** 2
            at_tcp[axis] = p
        if k > 1:
            fastest = max(fastest, math.sqrt(step) / table[at.FIGURE, at.TCP_STEP])
        if k % STOP_EVERY == 0:
            saved[:], saved_counts[:] = state, counts
            if k % 2 == 0 and state[at.META, at.LATCH] == 0.0 and state[at.META, at.PATH] == at.PATH_UNKNOWN:
                state[at.META, at.PATH] = at.PATH_ALONE
            if stop_ticks(model, table, state, counts, n) < 0:
                impossible += 1
            state[:], counts[:] = saved, saved_counts
    return segments, impossible, room + at.BOX_MARGIN, fastest


@allocating
def poison(
    model: FloatArray, table: FloatArray, state: FloatArray, counts: IntArray, specials: FloatArray, rounds: int, n: int
) -> tuple[int, int]:
    """Put a special into one field of a good set-point in mid-motion, again and again.

    Returns:
        How many were taken for good, how many of the commands that came out broke a limit.
    """
    q_d, taken, broken = np.zeros(n), 0, 0
    saved = state.copy()
    for k in range(rounds):
        for i in range(n):
            swing = 0.1 * table[at.V, i] * math.cos(0.01 * k + i)
            q_d[i] = state[at.Q, i] + swing
        kernels.reference_kernel(model, table, state, counts, q_d)
        saved[:] = state
        q_d[k % n] = specials[k % specials.shape[0]]
        if kernels.reference_kernel(model, table, state, counts, q_d) <= kernels.LIMITED:
            taken += 1
        for i in range(n):
            w = state[at.Q, i] - saved[at.Q, i]
            b = w - saved[at.W, i]
            fine = abs(w) <= table[at.V, i] and abs(b) <= table[at.A, i] / at.INNER
            fine &= abs(b - saved[at.B, i]) <= table[at.D, i] / at.INNER
            broken += 0 if fine else 1
        state[:] = saved
    return taken, broken


@allocating
def attack_torque(table: FloatArray, state: FloatArray, rng: np.random.Generator, log: FloatArray) -> None:
    """Ask for hostile torques, some of them no numbers; log the commands [N·m], shape (T, n), row 0 is at rest."""
    n = log.shape[1]
    tau_d, tau_c = np.zeros(n), state[at.TAU_C, :n]
    tau_c[:] = 0.0
    log[0] = 0.0
    for k in range(1, log.shape[0]):
        for i in range(n):
            tau_d[i] = rng.standard_normal() * table[at.TORQUE, i] * 10.0 ** rng.uniform(-2.0, 6.0)
        if k % 7 == 0:
            tau_d[k % n] = math.nan if k % 2 == 0 else math.inf
        torque_kernel(table, state, tau_d, tau_c)
        log[k] = tau_c
