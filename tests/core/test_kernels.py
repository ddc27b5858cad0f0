"""Laws of the guard's candidate: how it is slowed down, and how a stop goes on, against plain numpy."""

import numpy as np
import pytest
from hostile import ARM, START, limits_of
from numpy.typing import NDArray

from robostral.guard import LIMITED_CLEARANCE, LIMITED_CONDITIONING, Guard, Reason
from robostral.guard import table as at
from robostral.guard.braking import FAST, STOPS, stop_tick
from robostral.guard.kernels import go_on_stopping, joint_can_stop, screen, slow_joints
from robostral.guard.stop import stop_extent, stop_step
from robostral.kinematics.fk import tcp_kernel

FloatArray = NDArray[np.float64]
N, DT, MODEL = 6, 0.002, ARM.chain.model


def moving(seed: int, share: float = 0.5) -> tuple[Guard, np.random.Generator]:
    """Make a guard whose last command moves, with a candidate one jerk step further."""
    guard, rng = Guard(ARM.chain, limits_of(ARM.limits.array), DT), np.random.default_rng(seed)
    assert guard.reset(START) == Reason.PASSED
    state, table = guard.state, guard.table
    w, b = (rng.uniform(-share, share, N) * table[row, :N] for row in (at.V, at.A))
    state[at.W, :N], state[at.B, :N] = w, b
    x = np.clip(b + rng.uniform(-1, 1, N) * table[at.D, :N], -table[at.A, :N], table[at.A, :N])
    state[at.NEXT_B, :N], state[at.NEXT_W, :N], state[at.NEXT_Q, :N] = x, w + x, START + (w + x)
    return guard, rng


def stopped_once(guard: Guard, path: float) -> FloatArray:
    """Rows (q, w, b) after one tick of the stop from the last command, shape (3, n)."""
    state = guard.state.copy()
    stop_tick(guard.table, state, N, at.Q, path)
    return state[at.Q : at.Q + 3, :N]


@pytest.mark.parametrize("seed", range(12))
def test_a_slowed_candidate_has_the_share_of_the_speed_that_was_asked_for(seed: int) -> None:
    guard, rng = moving(seed)
    state, table = guard.state, guard.table
    per_a, V, D = table[at.PER_A, :N], table[at.V, :N], table[at.D, :N]
    q, w, b = (state[row, :N].copy() for row in (at.Q, at.W, at.B))
    x = state[at.NEXT_B, :N].copy()
    q_d = q + rng.uniform(-3.0, 3.0, N) * V
    _, w_stop, b_stop = stopped_once(guard, at.PATH_TOGETHER)
    allowed, braked = float(np.abs(w + x) @ per_a), float(np.abs(w_stop) @ per_a)
    wanted = float(np.minimum(np.abs(q_d - q), V) @ per_a)
    clear_share = (1.0, (0.3 * allowed + 0.7 * braked) / allowed, 0.05)[seed % 3]
    steady_share = (1.0, (0.6 * allowed + 0.4 * braked) / wanted, 2.0)[seed // 3 % 3]
    clear, steady = clear_share * allowed, steady_share * wanted
    bits = (LIMITED_CLEARANCE if clear < allowed else 0) | (LIMITED_CONDITIONING if steady < allowed else 0)
    towards = max(0.0, (min(clear, steady) - braked) / (allowed - braked)) if allowed > braked else 0.0
    expected = b_stop + towards * (x - b_stop) if bits else x
    assert slow_joints(table, state, N, q_d, clear_share, steady_share) == bits
    for i in range(N):
        if bits and not joint_can_stop(table, i, q[i] + (w[i] + expected[i]), w[i] + expected[i], expected[i]):
            expected[i] = stop_step(w[i], b[i], table[at.A, i], D[i])
    assert state[at.NEXT_Q, :N] == pytest.approx(q + w + expected, abs=1e-15)
    assert state[at.NEXT_B, :N] == pytest.approx(expected, abs=1e-12)


def test_a_candidate_that_is_the_stop_already_stays_what_it_is() -> None:
    guard, _ = moving(0)
    state = guard.state
    stop = stopped_once(guard, at.PATH_TOGETHER)
    state[at.NEXT_Q : at.NEXT_Q + 3, :N] = stop
    q_d = state[at.Q, :N] + 3.0 * guard.table[at.V, :N]
    assert slow_joints(guard.table, state, N, q_d, 0.5, 2.0) == LIMITED_CLEARANCE
    assert np.array_equal(state[at.NEXT_W, :N], stop[1])


@pytest.mark.parametrize("seed", range(4))
def test_a_joint_that_could_not_stop_after_being_slowed_stops_at_its_own_maximum(seed: int) -> None:
    """On the common path each joint brakes as slowly as the slowest one; near its limit that is not enough."""
    guard, _ = moving(seed, 0.2)
    state, table = guard.state, guard.table
    w, A, D = np.full(N, 0.02) * table[at.V, :N], table[at.A, :N], table[at.D, :N]
    w[1], w[4] = 0.9 * table[at.V, 1], 0.3 * table[at.V, 4]
    state[at.W, :N], state[at.B, :N] = w, 0.0
    state[at.NEXT_B, :N], state[at.NEXT_W, :N], state[at.NEXT_Q, :N] = 0.0, w, START + w
    x = stop_step(w[4], 0.0, A[4], D[4])
    state[at.Q, 4] = table[at.HIGH, 4] - (w[4] + x) - stop_extent(w[4] + x, x, A[4], D[4])[1] - 1e-9
    before = state[at.Q, :N].copy()
    assert slow_joints(table, state, N, before + w, 0.05, 2.0) == LIMITED_CLEARANCE
    assert state[at.NEXT_Q, 4] == before[4] + (w[4] + x)
    slowed = state[at.NEXT_Q, :N].copy()
    state[at.META, at.PATH] = at.PATH_TOGETHER
    assert go_on_stopping(MODEL, table, state) == (FAST, at.PATH_TOGETHER)
    state[at.META, at.PATH] = at.PATH_ALONE
    assert go_on_stopping(MODEL, table, state) == (STOPS, at.PATH_ALONE)
    assert state[at.NEXT_Q, 4] == slowed[4]


@pytest.mark.parametrize("path", [at.PATH_UNKNOWN, at.PATH_TOGETHER, at.PATH_ALONE])
@pytest.mark.parametrize("seed", range(3))
def test_a_stop_that_goes_on_is_the_next_tick_of_the_stop(seed: int, path: float) -> None:
    guard, _ = moving(seed)
    state, T = guard.state, np.zeros((4, 4))
    state[at.META, at.PATH] = path
    how = at.PATH_TOGETHER if path == at.PATH_TOGETHER else at.PATH_ALONE
    expected = stopped_once(guard, how)
    before = state[at.Q : at.Q + 3, :N].copy()
    assert go_on_stopping(MODEL, guard.table, state) == (STOPS, how)
    np.testing.assert_array_equal(state[at.NEXT_Q : at.NEXT_Q + 3, :N], expected)
    np.testing.assert_array_equal(state[at.Q : at.Q + 3, :N], before)
    tcp_kernel(MODEL, expected[0].copy(), T)
    np.testing.assert_array_equal(state[at.TCP_NEXT, :16], T.ravel())


@pytest.mark.parametrize("size", [N - 1, N + 1])
def test_a_set_point_of_another_length_is_refused(size: int) -> None:
    guard, _ = moving(0)
    assert screen(MODEL, guard.table, guard.state, np.full(size, START[0])) == Reason.SIZE


@pytest.mark.parametrize("reason", [-1, Reason.LIMITED, len(Reason), 10**6])
def test_a_stop_for_no_known_reason_counts_as_asked_for(reason: int) -> None:
    guard, _ = moving(0)
    while not guard.brake(reason):
        pass
    assert guard.counts[Reason.STOPPED] == guard.counts.sum() == 1
