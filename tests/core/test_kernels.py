"""Laws of the guard's candidate: how it is slowed down, and how a stop goes on, against plain numpy."""

import numpy as np
import pytest
from hostile import ARM, START, changeable, limits_of
from numpy.typing import NDArray

from robostral.guard import LIMITED_CLEARANCE, LIMITED_CONDITIONING, Guard, Reason, Workspace
from robostral.guard import table as at
from robostral.guard.braking import FAST, HITS, STOPS, distance, fastest, room_of, stop_tick
from robostral.guard.clearance import survey
from robostral.guard.kernels import (
    command_kernel,
    go_on_stopping,
    joint_can_stop,
    latch,
    measure_kernel,
    move_towards,
    reference_kernel,
    reset_kernel,
    screen,
    slow_down,
    slow_joints,
    step_towards,
    stop_path,
)
from robostral.guard.stop import peak_bound, stop_bound, stop_extent, stop_step
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


def test_a_candidate_that_is_slower_than_the_stop_on_the_path_becomes_that_stop() -> None:
    guard, _ = moving(0)
    state = guard.state
    stop, alone = stopped_once(guard, at.PATH_TOGETHER), stopped_once(guard, at.PATH_ALONE)
    per_a = guard.table[at.PER_A, :N]
    assert np.abs(alone[1]) @ per_a < np.abs(stop[1]) @ per_a
    state[at.NEXT_Q : at.NEXT_Q + 3, :N] = alone
    q_d = state[at.Q, :N] + 3.0 * guard.table[at.V, :N]
    assert slow_joints(guard.table, state, N, q_d, 0.5, 2.0) == LIMITED_CLEARANCE
    assert state[at.NEXT_W, :N] == pytest.approx(stop[1], abs=1e-15)


def test_who_asks_for_what_is_allowed_is_not_limited_by_the_singular_pose() -> None:
    guard, _ = moving(1)
    state = guard.state
    q_d = state[at.Q, :N] + 0.1 * guard.table[at.V, :N]
    state[at.NEXT_W, :N] = q_d - state[at.Q, :N]
    state[at.NEXT_B, :N] = state[at.NEXT_W, :N] - state[at.W, :N]
    assert slow_joints(guard.table, state, N, q_d, 0.5, 1.0) == LIMITED_CLEARANCE


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


@pytest.mark.parametrize("size", [0, N - 1, N + 1])
def test_a_vector_of_another_length_is_refused_by_every_kernel(size: int) -> None:
    """Even where all its numbers are good, or more than the length is wrong with it."""
    for kernel, reason in (
        (reset_kernel, Reason.SIZE),
        (reference_kernel, Reason.SIZE),
        (measure_kernel, Reason.TRACKING),
        (command_kernel, Reason.COMMAND),
    ):
        guard = Guard(ARM.chain, limits_of(ARM.limits.array), DT)
        assert guard.reset(START) == Reason.PASSED
        assert kernel(*guard.tables, np.append(START, START)[:size].copy()) == reason
        assert guard.reason == reason
        assert guard.counts.sum() == guard.counts[reason] == 1
    assert guard.reset(np.where(np.arange(N) == 4, np.nan, 1e9)) == Reason.NOT_FINITE


@pytest.mark.parametrize("reason", [-1, Reason.LIMITED, len(Reason), 10**6])
def test_a_stop_for_no_known_reason_counts_as_asked_for(reason: int) -> None:
    guard, _ = moving(0)
    while not guard.brake(reason):
        pass
    assert guard.counts[Reason.STOPPED] == guard.counts.sum() == 1


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_an_acceleration_is_kept_as_long_as_the_joint_can_still_stop_after_it(sign: float) -> None:
    guard, _ = moving(0)
    state, table = guard.state, guard.table
    w, A, D = sign * 0.5 * table[at.V, 2], table[at.A, 2], table[at.D, 2]
    own = stop_step(w, 0.0, A, D)
    for x in (0.5 * own, -0.5 * own):
        way = (w + x) + max(stop_extent(w + x, x, A, D), key=abs)
        for beyond, kept in ((-1e-9, x), (1e-9, own)):
            edge = table[at.HIGH, 2] if sign > 0.0 else table[at.LOW, 2]
            state[at.Q, 2], state[at.W, 2], state[at.B, 2] = edge - way + sign * beyond, w, 0.0
            move_towards(table, state, 2, x)
            assert state[at.NEXT_B, 2] == pytest.approx(kept, abs=1e-12)


def with_figure(guard: Guard, column: int, figure: float) -> FloatArray:
    figures, table = changeable(guard.table)
    figures[at.FIGURE, column] = figure
    return table


def test_what_stands_at_its_very_figure_is_allowed() -> None:
    guard = Guard(ARM.chain, limits_of(ARM.limits.array), DT)
    assert guard.reset(START) == Reason.PASSED
    state, q = guard.state, START.copy()
    q[3] += 0.01
    away = abs(q[3] - START[3])
    for figure, code in ((away, Reason.PASSED), (away * (1.0 - 1e-9), Reason.START_POSE)):
        assert screen(MODEL, with_figure(guard, at.START_TOLERANCE, figure), state, q) == code
    state[at.META, at.FRESH] = 0.0
    figures, table = changeable(guard.table)
    for figure, code in ((away, Reason.PASSED), (away * (1.0 - 1e-9), Reason.JUMP)):
        figures[at.JUMP, 3] = figure
        assert screen(MODEL, table, state, q) == code
    for figure, code in ((away, Reason.PASSED), (away * (1.0 - 1e-9), Reason.TRACKING)):
        assert measure_kernel(MODEL, with_figure(guard, at.TRACKING_TOLERANCE, figure), state, guard.counts, q) == code


def test_a_tcp_at_its_very_speed_or_wall_is_allowed_and_one_beyond_is_not_even_at_rest() -> None:
    guard, _ = moving(0, 0.01)
    state, T = guard.state, np.zeros((4, 4))
    tcp_kernel(MODEL, state[at.NEXT_Q, :N].copy(), state[at.TCP_NEXT, :16].reshape((4, 4)))
    survey(MODEL, guard.table, state)
    step = distance(state[at.TCP], state[at.TCP_NEXT])
    for factor, fast in ((1.0, False), (1.0 - 1e-9, True)):
        code, _ = stop_path(MODEL, with_figure(guard, at.TCP_STEP, step * factor), state, 0)
        assert (code == FAST) == fast
    tcp_kernel(MODEL, START, T)
    wall = Guard(ARM.chain, ARM.limits, DT, Workspace((-2.0, -2.0, -2.0), (T[0, 3] + at.BOX_MARGIN, 2.0, 2.0)))
    for beyond, code in ((0.0, STOPS), (1e-9, HITS), (1e-3, HITS)):
        figures, table = changeable(wall.table)
        figures[at.BOX_HIGH, 0] = T[0, 3] - beyond
        assert reset_kernel(MODEL, table, wall.state, wall.counts, START) == (0 if code == STOPS else Reason.WORKSPACE)
        assert room_of(table, T.ravel()) == -beyond or beyond
        state = wall.state.copy()
        state[at.Q : at.Q + 3, :N] = state[at.NEXT_Q : at.NEXT_Q + 3, :N] = [START, 0.0 * START, 0.0 * START]
        state[at.TCP, :16] = state[at.TCP_NEXT, :16] = T.ravel()
        survey(MODEL, table, state)
        assert stop_path(MODEL, table, state, 0)[0] == code
        assert code == STOPS or state[at.META, at.CAUSE] == Reason.WORKSPACE


def test_what_levers_prove_needs_no_jacobian_and_no_simulated_stop() -> None:
    """The dearest parts of a tick are done only where the ways to rest, or the speeds, come near a figure."""
    guard, _ = moving(0, 0.05)
    state = guard.state
    lever, A, D = (guard.table[row, :N] for row in (at.LEVER, at.A, at.D))
    w, b = state[at.NEXT_W, :N].copy(), state[at.NEXT_B, :N].copy()
    tcp_kernel(MODEL, state[at.NEXT_Q, :N].copy(), state[at.TCP_NEXT, :16].reshape((4, 4)))
    reach = sum(lever[i] * stop_bound(w[i], b[i], A[i], D[i]) for i in range(N))
    peak = sum(lever[i] * peak_bound(w[i], b[i], D[i]) for i in range(N))
    for near, speed, looked in ((1.001, 1.0, False), (1.001, 0.999, True), (0.999, 1.0, True)):
        figures, table = changeable(guard.table)
        figures[at.FIGURE, at.TCP_STEP] = speed * peak
        figures[at.BOX_HIGH, 2] = state[at.TCP_NEXT, 11] + near * reach
        survey(MODEL, table, state)
        state[at.JACOBIAN], state[at.SIM_Q] = -9.0, -9.0
        code, path = stop_path(MODEL, table, state, 0)
        assert code == STOPS
        assert (path, state[at.JACOBIAN, 0]) == (at.PATH_UNKNOWN, -9.0) or looked
        assert bool((state[at.JACOBIAN] == -9.0).all() and (state[at.SIM_Q] == -9.0).all()) != looked


def test_bounds_at_their_very_figures_prove_that_the_arm_stops() -> None:
    guard, _ = moving(0, 0.05)
    figures, table = changeable(guard.table)
    state = guard.state
    tcp_kernel(MODEL, state[at.NEXT_Q, :N].copy(), state[at.TCP_NEXT, :16].reshape((4, 4)))
    survey(MODEL, table, state)
    figures[at.FIGURE, at.TCP_STEP] = fastest(MODEL, table, state)
    assert stop_path(MODEL, table, state, 0) == (STOPS, at.PATH_UNKNOWN)
    figures[at.FIGURE, at.TCP_STEP] *= 1.0 - 1e-9
    assert stop_path(MODEL, table, state, 0)[1] == at.PATH_TOGETHER
    figures[at.FIGURE, at.TCP_STEP] = 1e3
    figures[at.BOX_HIGH, 2] = state[at.TCP_NEXT, 11] + 0.1
    figures[at.LEVER, :N], state[at.STOP_REACH, :N] = 1.0, 0.0
    for factor, path in ((1.0, at.PATH_UNKNOWN), (1.0 + 1e-9, at.PATH_TOGETHER)):
        state[at.STOP_REACH, 0] = room_of(table, state[at.TCP_NEXT]) * factor
        assert stop_path(MODEL, table, state, 0) == (STOPS, path)


@pytest.mark.parametrize("path", [at.PATH_TOGETHER, at.PATH_ALONE])
def test_a_way_to_stop_that_is_known_is_kept(path: float) -> None:
    guard, _ = moving(0, 0.1)
    guard.state[at.META, at.PATH] = path
    latch(MODEL, guard.table, guard.state, int(Reason.STOPPED))
    assert guard.state[at.META, at.PATH] == path


def test_a_tcp_is_slowed_to_a_share_of_two_to_the_12th() -> None:
    """Of the way from the stop to what was asked; not nearer either, for each halving costs a pose."""
    gaps, T = [], np.zeros((4, 4))
    for seed in range(24):
        guard, rng = moving(seed, 0.1)
        figures, table = changeable(guard.table)
        state = guard.state
        tcp_kernel(MODEL, START, state[at.TCP, :16].reshape((4, 4)))
        b, stop = state[at.NEXT_B, :N].copy(), stopped_once(guard, at.PATH_TOGETHER)[2]

        def step(share: float) -> float:
            tcp_kernel(MODEL, START + state[at.W, :N] + stop + share * (b - stop), T)  # noqa: B023
            return float(np.linalg.norm(T[:3, 3] - guard.state[at.TCP, [3, 7, 11]]))  # noqa: B023

        true = rng.uniform(0.05, 0.95)
        figures[at.FIGURE, at.TCP_STEP] = step(true) / 0.95
        if not step(0.0) < 0.999 * step(true) < 0.998 * step(1.0):
            continue
        slow_down(MODEL, table, state)
        i = int(np.abs(b - stop).argmax())
        gaps.append((true - (state[at.NEXT_B, i] - stop[i]) / (b[i] - stop[i])) * 2.0**12)
    assert len(gaps) > 8
    assert min(gaps) > -0.01
    assert 0.75 < max(gaps) < 1.01


def test_a_tcp_that_is_as_slow_as_asked_halfway_is_slowed_no_further() -> None:
    guard, _ = moving(0, 0.1)
    figures, table = changeable(guard.table)
    state = guard.state
    tcp_kernel(MODEL, START, state[at.TCP, :16].reshape((4, 4)))
    b = state[at.NEXT_B, :N].copy()
    slow_down(MODEL, table, state)
    halfway = step_towards(MODEL, table, state, 0.5)
    assert step_towards(MODEL, table, state, 0.0) < halfway < step_towards(MODEL, table, state, 1.0)
    state[at.NEXT_B, :N] = b
    most = halfway / 0.95
    while 0.95 * most < halfway:
        most = np.nextafter(most, 1.0)
    assert 0.95 * most == halfway
    figures[at.FIGURE, at.TCP_STEP] = most
    slow_down(MODEL, table, state)
    stop = stopped_once(guard, at.PATH_TOGETHER)[2]
    assert state[at.NEXT_B, :N] == pytest.approx(0.5 * (b + stop), abs=1e-4 * float(np.abs(b - stop).min()))


def test_columns_beyond_the_joints_are_neither_read_nor_written() -> None:
    """Rows are wider than the arm has joints; what stands there is nobody's."""
    rows = [*range(at.Q, at.B + 1), *range(at.NEXT_Q, at.SIM_B + 1), at.STOP_REACH, at.TRAVEL]
    logs = []
    for beyond in (0.0, 7.0):
        guard = Guard(ARM.chain, ARM.limits.reduced(), DT, Workspace((-0.9,) * 3, (0.9,) * 3), capsules=ARM.capsules)
        for ask in (1e-3, 9e-3, 1.0):
            guard.state[rows, N:] = guard.state[at.TCP, 16:] = beyond
            guard.state[at.TCP_NEXT, 16:] = -beyond
            assert guard.reset(START) == Reason.PASSED
            log = [guard.q_c.copy()]
            for k in range(20):
                guard.step(guard.q_c + ask * np.sin(0.2 * k + np.arange(N)))
                log.append(guard.q_c.copy())
            guard.coast()
            while not guard.brake() and len(log) < 400:
                log.append(guard.q_c.copy())
            assert (guard.state[rows, N:] == beyond).all()
            assert (guard.state[at.TCP, 16:] == beyond).all()
            logs.append(log)
    np.testing.assert_array_equal(np.vstack(logs[:3]), np.vstack(logs[3:]))


def test_a_reject_stops_as_a_stop_that_was_asked_for() -> None:
    """Every joint, from the first tick to the last, whatever else is asked meanwhile."""
    rejected, asked = (Guard(ARM.chain, limits_of(ARM.limits.array), DT) for _ in range(2))
    for guard in (rejected, asked):
        assert guard.reset(START) == Reason.PASSED
        for k in range(40):
            assert guard.step(guard.q_c + 1e-5 * k * np.array([1, -1, 1, -1, 1, -1])) <= Reason.LIMITED
    assert (np.abs(asked.dq_c) > 0.1).all()
    at_rest = False
    for k in range(200):
        at_rest = bool(asked.brake())
        assert rejected.step(START * (np.nan, 1.0)[k % 2]) == Reason.NOT_FINITE
        np.testing.assert_array_equal(rejected.q_c, asked.q_c)
        np.testing.assert_array_equal(rejected.ddq_c, asked.ddq_c)
        if at_rest:
            break
    assert at_rest
