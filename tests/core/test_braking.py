"""Laws of the whole arm's stop, tick by tick against plain numpy; walls and speeds that it must not miss on the way."""

import math

import numpy as np
import pytest
from hostile import ARM, changeable, limits_of
from numpy.typing import NDArray

from robostral.arm import load_arm
from robostral.guard import Guard, Reason, Workspace
from robostral.guard import table as at
from robostral.guard.braking import (
    FAST,
    HITS,
    STOPS,
    fastest,
    in_range,
    publish,
    room_of,
    simulate_stop,
    speed_at,
    stop_tick,
    store,
    travel,
    within_limits,
)
from robostral.guard.braking import distance as apart
from robostral.guard.clearance import survey
from robostral.guard.kernels import stop_path
from robostral.guard.stop import landing, peak_bound, stop_bound
from robostral.kinematics.fk import tcp_kernel
from robostral.kinematics.jacobian import jacobian

FloatArray = NDArray[np.float64]
HOME, N, DT = ARM.home, 6, 0.002


def guard_of(
    workspace: Workspace | None = None, tcp_speed: float = 1e3, jerk: float = 1.0, home: FloatArray = HOME
) -> Guard:
    figures = ARM.limits.array.copy()
    figures[4] *= jerk
    guard = Guard(ARM.chain, limits_of(figures, tcp_speed), DT, workspace)
    assert guard.reset(home) == Reason.PASSED
    return guard


def put(guard: Guard, w: FloatArray, b: FloatArray) -> None:
    """Make a candidate that goes on from the last command with velocity w and acceleration b, both per tick."""
    state, model = guard.state, ARM.chain.model
    state[at.NEXT_Q, :N], state[at.NEXT_W, :N], state[at.NEXT_B, :N] = state[at.Q, :N] + w, w, b
    for row, pose in ((at.Q, at.TCP), (at.NEXT_Q, at.TCP_NEXT)):
        tcp_kernel(model, state[row, :N].copy(), state[pose, :16].reshape((4, 4)))
    survey(model, guard.table, state)


def next_together(w: FloatArray, b: FloatArray, A: FloatArray, D: FloatArray) -> FloatArray:
    """Accelerations of the next tick of a stop on the straight path."""
    in_a, in_d = np.abs(w / A).max(), np.abs(w / D).max()
    if in_a == 0.0:
        beta = 0.0
    else:
        now = float((w / A) @ (b / A)) / float((w / A) @ (w / A))
        beta = max(min(now, 0.0) - 1.0 / in_d, -1.0 / in_a, -landing(1.0, 1.0 / in_d))
    return np.clip(np.clip(beta * w, -A, A), b - D, b + D)


def next_alone(w: FloatArray, b: FloatArray, A: FloatArray, D: FloatArray) -> FloatArray:
    most = [min(landing(abs(w[i]), D[i]), A[i]) for i in range(N)]
    return np.clip(np.where(w > 0.0, -1.0, 1.0) * most, b - D, b + D)


@pytest.mark.parametrize("path", [at.PATH_TOGETHER, at.PATH_ALONE, at.PATH_UNKNOWN])
@pytest.mark.parametrize("seed", range(6))
def test_each_tick_of_a_stop_is_the_law(seed: int, path: float) -> None:
    rng, guard = np.random.default_rng(seed), guard_of(jerk=(1.0, 0.1, 0.02)[seed % 3])
    A, D, V = (guard.table[row, :N] for row in (at.A, at.D, at.V))
    state = guard.state
    w, b = rng.uniform(-1, 1, N) * V, rng.uniform(-1, 1, N) * A
    w[0], b[1], w[2], b[2] = 0.0, 0.0, 0.0, 0.0  # one that only accelerates, one that only moves, one at rest
    b[0] *= (-1.0) ** seed
    state[at.Q, :N], state[at.W, :N], state[at.B, :N] = HOME, w, b
    q = HOME.copy()
    for ticks in range(3000):  # noqa: B007
        law = next_together if path == at.PATH_TOGETHER else next_alone
        x = np.where((w == 0.0) & (b == 0.0), 0.0, law(w, b, A, D))
        q_next = q + (w + x)
        at_rest = stop_tick(guard.table, state, N, at.Q, path)
        assert state[at.Q, :N] == pytest.approx(q_next, abs=1e-12)
        assert at_rest == (not x.any() and not w.any())
        q, w, b = (state[row, :N].copy() for row in (at.Q, at.W, at.B))
        if at_rest:
            break
    assert at_rest
    assert not w.any()
    assert ticks > 10


@pytest.mark.parametrize("jerk", [1.0, 0.05, 0.001])
@pytest.mark.parametrize("path", [at.PATH_TOGETHER, at.PATH_ALONE])
def test_a_stop_ends_however_slowly_its_acceleration_may_change(jerk: float, path: float) -> None:
    guard = guard_of(jerk=jerk)
    D, V = guard.table[at.D, :N], guard.table[at.V, :N]
    put(guard, 0.2 * V * np.array([1, -1, 1, 0, 1, -1]), np.minimum(guard.table[at.A, :N], np.sqrt(0.1 * V * D)))
    assert simulate_stop(ARM.chain.model, guard.table, guard.state, at.NEXT_Q, path, 0.0) == STOPS
    assert not guard.state[at.SIM_W, :N].any()


def stretched() -> FloatArray:
    """Return a pose far from the first axis, whose turn moves the tcp on a wide circle."""
    q = HOME.copy()
    q[1:4] = -0.4, 0.3, 0.0
    return q


def on_circle(angle: float) -> tuple[FloatArray, float]:
    """Return the pose whose tcp is `angle` [rad] before the circle's greatest x, and the circle's radius [m]."""
    q, T = stretched(), np.zeros((4, 4))
    tcp_kernel(ARM.chain.model, q, T)
    q[0] += -math.atan2(T[1, 3], T[0, 3]) - angle
    return q, math.hypot(T[0, 3], T[1, 3])


@pytest.mark.parametrize("path", [at.PATH_TOGETHER, at.PATH_ALONE])
@pytest.mark.parametrize(("beyond", "expected"), [(0.0035, HITS), (0.0, HITS), (-0.003, STOPS)])
def test_a_stop_that_only_passes_outside_a_wall_hits_it(path: float, beyond: float, expected: int) -> None:
    """It begins inside and ends inside; `beyond` is how far the wall's inner edge is exceeded in between [m]."""
    q, radius = on_circle(0.12)
    guard = guard_of(Workspace((-9.0, -9.0, -9.0), (radius - beyond + 0.002, 9.0, 9.0)), home=q)
    A = guard.table[at.A, 0]
    w = np.zeros(N)
    w[0] = math.sqrt(2.0 * A * 0.24)  # as long a way again on the other side
    put(guard, w, np.zeros(N))
    code = simulate_stop(ARM.chain.model, guard.table, guard.state, at.NEXT_Q, path, 0.0)
    assert abs(guard.state[at.SIM_Q, 0] - q[0] - 0.24) < 0.02 or code == HITS
    assert code == expected or (beyond == 0.0 and code == STOPS)
    assert code == STOPS or guard.state[at.META, at.CAUSE] == Reason.WORKSPACE


@pytest.mark.parametrize(
    ("share", "expected", "path"),
    [(0.9, FAST, at.PATH_ALONE), (1.1, STOPS, at.PATH_TOGETHER), (4.0, STOPS, at.PATH_UNKNOWN)],
)
def test_a_tcp_that_grows_too_fast_in_its_stop_is_found(share: float, expected: int, path: float) -> None:
    """The joint still accelerates: it is fastest a while after the stop has begun."""
    q, radius = on_circle(0.0)
    slow = guard_of(jerk=0.01, home=q)
    A, D = slow.table[at.A, 0], slow.table[at.D, 0]
    w, b = np.zeros(N), np.zeros(N)
    w[0], b[0] = 4.0 * A, 0.8 * A
    peak, x = w[0], b[0]
    while (x := x - D) > 0.0:
        peak += x
    guard = guard_of(jerk=0.01, tcp_speed=share * peak * radius / DT, home=q)
    put(guard, w, b)
    assert apart(guard.state[at.TCP], guard.state[at.TCP_NEXT]) < guard.table[at.FIGURE, at.TCP_STEP]
    for each in (at.PATH_TOGETHER, at.PATH_ALONE):
        assert simulate_stop(ARM.chain.model, guard.table, guard.state, at.NEXT_Q, each, w[0] * radius) == expected
        assert expected == STOPS or guard.state[at.META, at.CAUSE] == Reason.TCP_SPEED
    assert stop_path(ARM.chain.model, guard.table, guard.state, 0) == (expected, path)


def test_what_one_look_proves_is_not_simulated() -> None:
    q, radius = on_circle(0.0)
    w = np.zeros(N)
    w[0] = 10.0 * guard_of().table[at.A, 0]
    guard = guard_of(tcp_speed=1.2 * radius * w[0] / DT, home=q)
    assert guard.table[at.LEVER, 0] > 1.3 * radius, "the lever alone does not prove it"
    put(guard, w, np.zeros(N))
    assert stop_path(ARM.chain.model, guard.table, guard.state, 0) == (STOPS, at.PATH_UNKNOWN)


@pytest.mark.parametrize("seed", range(5))
def test_one_look_bounds_the_tcp_speed_of_joints_that_stop_alone(seed: int) -> None:
    rng, guard = np.random.default_rng(seed), guard_of()
    A, D = guard.table[at.A, :N], guard.table[at.D, :N]
    w, b = rng.uniform(-1, 1, N) * guard.table[at.V, :N], rng.uniform(-1, 1, N) * A
    put(guard, w, b)
    J = jacobian(ARM.chain, guard.state[at.NEXT_Q, :N].copy())[:3]
    peaks = np.array([peak_bound(w[i], b[i], D[i]) for i in range(N)])
    along, more = J * w, np.abs(J) * (peaks - np.abs(w))
    low, high = (np.minimum(along, 0.0) - more).sum(axis=1), (np.maximum(along, 0.0) + more).sum(axis=1)
    turn = sum(stop_bound(w[i], b[i], A[i], D[i]) for i in range(N))
    expected = np.linalg.norm(np.maximum(-low, high)) + turn * float(guard.table[at.LEVER, :N] @ peaks)
    assert fastest(ARM.chain.model, guard.table, guard.state) == pytest.approx(expected, rel=1e-9)


def test_room_is_the_distance_to_the_nearest_wall() -> None:
    table, T = guard_of(Workspace((-1.0, -2.0, -3.0), (2.0, 3.0, 4.0))).table, np.eye(4)
    for p in ((0.0, 0.0, 0.0), (1.9, 0.0, 0.0), (0.0, 2.8, 0.0), (0.0, 0.0, -2.99), (0.0, -1.9, 3.0), (2.5, 0.0, 0.0)):
        T[:3, 3] = p
        room = min(*(np.array(p) - table[at.BOX_LOW, :3]), *(table[at.BOX_HIGH, :3] - np.array(p)))
        assert room_of(table, T.ravel()) == room
        assert apart(np.eye(4).ravel(), T.ravel()) == pytest.approx(math.hypot(*p))


@pytest.mark.parametrize("dt", [DT, 1.0])
def test_simulated_positions_and_speeds_may_use_the_inner_margins_up_but_not_more(dt: float) -> None:
    arm = load_arm("fr3")
    guard, taper = Guard(arm.chain, arm.limits, dt), arm.limits.taper
    assert taper is not None
    state, figures = guard.state, arm.limits.array
    for joint in range(7):
        state[at.SIM_Q, :7], state[at.SIM_W, :7] = arm.home, 0.0
        assert within_limits(guard.table, state, 7)
        for edge, sign in ((figures[1, joint], 1.0), (figures[0, joint], -1.0)):
            for beyond, fine in ((-1e-9, True), (1e-7, False)):
                state[at.SIM_Q, joint] = edge + sign * beyond
                assert within_limits(guard.table, state, 7) == fine
            for margins, fine in ((-0.5, True), (0.0, True), (0.5, False), (1.5, False)):
                q = edge + sign * margins * at.POSITION_MARGIN
                state[at.SIM_Q, joint] = q
                assert in_range(guard.table, joint, q) == within_limits(guard.table, state, 7) == fine
            state[at.SIM_Q, joint] = edge - sign * 0.2
            most = math.sqrt(0.4 * taper[1, joint]) - taper[0, joint]
            for w in (sign * most, -sign * figures[2, joint]):
                state[at.SIM_W, joint] = 0.999 * w * dt
                assert within_limits(guard.table, state, 7)
                state[at.SIM_W, joint] = 1.001 * w * dt
                assert not within_limits(guard.table, state, 7)
            state[at.SIM_W, joint] = 0.0
        state[at.SIM_Q, joint] = math.nan
        assert not within_limits(guard.table, state, 7)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_speed_and_taper_may_use_up_their_margins_to_the_last_bit(side: float) -> None:
    arm = load_arm("fr3")
    guard, taper = Guard(arm.chain, arm.limits, 0.002), arm.limits.taper
    assert taper is not None
    state, table = guard.state, guard.table
    state[at.SIM_Q, :7] = 0.5 * (table[at.LOW, :7] + table[at.HIGH, :7])
    for factor, fine in ((1.0, True), (1.0 + 1e-9, False)):
        state[at.SIM_W, 1] = side * table[at.V, 1] / at.INNER * factor
        assert within_limits(table, state, 7) == fine
    edge = table[at.HIGH, 1] if side > 0.0 else table[at.LOW, 1]
    state[at.SIM_Q, 1] = edge - side * 0.2
    ahead = abs(edge - state[at.SIM_Q, 1])
    for margins, fine in ((0.9, True), (1.1, False)):
        speed = math.sqrt((ahead + margins * at.POSITION_MARGIN) / table[at.TAPER_PER, 1])
        state[at.SIM_W, 1] = side * (speed - taper[0, 1] * 0.002)
        assert within_limits(table, state, 7) == fine
    figures, plain = changeable(table)
    figures[[at.V, at.TAPER_PER]], figures[at.TAPER_OFFSET], state[at.SIM_Q] = 1.0, 0.25, 0.0
    state[at.SIM_W, :7], edge = side * 0.5, 0.25 - at.POSITION_MARGIN  # a speed of a half asks for a quarter
    assert edge + at.POSITION_MARGIN == 0.25
    for ahead, fine in ((edge, True), (edge - 1e-9, False)):
        figures[at.LOW], figures[at.HIGH] = -ahead, ahead
        assert within_limits(plain, state, 7) == fine


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_joint_moves_while_anyone_sees_a_velocity_or_an_acceleration(sign: float) -> None:
    state = np.zeros((3, 1))
    for w, q_next, moves in ((0.25, 0.25, True), (0.25, 0.0, True), (0.0, 0.25, True), (0.0, 0.0, False)):
        assert store(state, 0, 0, 0.0, sign * w, sign * q_next) == moves
        assert state[:, 0].tolist() == [sign * q_next, sign * q_next, sign * (q_next - w)]


def test_derivatives_are_differences_of_the_commands_over_time() -> None:
    guard, log = guard_of(), [HOME, HOME, HOME]
    for k in range(40):
        guard.step(guard.q_c + 0.01 * np.sin(0.3 * k + np.arange(N)) * DT * min(k, 20))
        log.append(guard.q_c.copy())
        speed = np.diff(log[-3:], axis=0) / DT
        assert guard.dq_c == pytest.approx(speed[1], abs=1e-9)
        assert guard.ddq_c == pytest.approx((speed[1] - speed[0]) / DT, abs=1e-7)
    assert np.abs(guard.ddq_c).min() > 1e-3
    guard.state[at.W, :N], guard.state[at.B, :N] = HOME, -HOME
    publish(guard.table, guard.state)
    assert guard.dq_c == pytest.approx(HOME / DT)
    assert guard.ddq_c == pytest.approx(-HOME / DT**2)


def stop_of(speed: float, walls: float, tcp_speed: float = 1e3) -> tuple[Guard, FloatArray]:
    """Simulate the stop of the first joint; return the guard, and the bounds of the tcp's steps on the way [m]."""
    q, _ = on_circle(0.0)
    guard = guard_of(Workspace((-walls,) * 3, (walls,) * 3), tcp_speed, home=q)
    w = np.zeros(N)
    w[0] = speed * DT
    put(guard, w, np.zeros(N))
    plain, steps = guard.state.copy(), []
    plain[at.SIM_Q : at.SIM_Q + 3] = plain[at.NEXT_Q : at.NEXT_Q + 3]
    bound = float(guard.table[at.LEVER, 0]) * w[0]
    while not stop_tick(guard.table, plain, N, at.SIM_Q, at.PATH_ALONE):
        step, bound = travel(guard.table, plain, N, bound)
        steps.append((step, bound))
    guard.state[[at.TCP_SIM, at.TCP_LOOK]] = -1.0
    speed = float(guard.table[at.LEVER, 0]) * w[0]
    assert simulate_stop(ARM.chain.model, guard.table, guard.state, at.NEXT_Q, at.PATH_ALONE, speed) == STOPS
    return guard, np.array(steps)


def looked_at(guard: Guard, row: int) -> float:
    """How far along its way the first joint was when the tcp was looked at last [m by its lever]."""
    pose, last = guard.state[row, :16].reshape((4, 4)), math.nan
    T, plain = np.zeros((4, 4)), guard.state.copy()
    plain[at.SIM_Q : at.SIM_Q + 3] = plain[at.NEXT_Q : at.NEXT_Q + 3]
    for _ in range(3000):
        at_rest = stop_tick(guard.table, plain, N, at.SIM_Q, at.PATH_ALONE)
        tcp_kernel(ARM.chain.model, plain[at.SIM_Q, :N].copy(), T)
        if (pose == T).all() and math.isnan(last):
            last = abs(plain[at.SIM_Q, 0] - plain[at.NEXT_Q, 0]) * float(guard.table[at.LEVER, 0])
        if at_rest:
            return last
    raise AssertionError("the stop does not end")


def test_the_tcp_is_looked_at_before_it_can_have_gone_two_margins_and_then_not_before_it_nears_a_wall() -> None:
    for walls in (30.0, on_circle(0.0)[1] + 0.2):
        guard, steps = stop_of(1.0, walls)
        way, step = steps[:, 0].sum(), steps[0, 0]
        assert 0.02 < way < 0.2
        assert 2.0 * at.BOX_MARGIN - 2.0 * step < looked_at(guard, at.TCP_SIM) <= 2.0 * at.BOX_MARGIN
    for speed, share, only_at_rest in ((0.32, 1.25, False), (0.25, 0.75, True)):
        guard, steps = stop_of(speed, 30.0)
        way = steps[:, 0].sum()
        assert way == pytest.approx(share * 2.0 * at.BOX_MARGIN, rel=0.2)
        assert (looked_at(guard, at.TCP_SIM) > way - 1e-9) == only_at_rest


def test_the_speed_of_the_tcp_is_looked_at_only_where_its_bound_proves_nothing() -> None:
    _, steps = stop_of(1.0, 30.0)
    most = float(steps[:, 1].max())
    for factor, looks in ((1.001, False), (0.999, True)):
        guard, _ = stop_of(1.0, 30.0, factor * most / DT)
        assert bool((guard.state[at.TCP_LOOK, :16] != -1.0).any()) == looks


def test_a_tcp_as_fast_in_its_stop_as_it_may_be_is_not_too_fast() -> None:
    guard, steps = stop_of(1.0, 30.0)
    figures, table = changeable(guard.table)
    state, model = guard.state, ARM.chain.model
    plain, fast = state.copy(), []
    plain[at.SIM_Q : at.SIM_Q + 3] = plain[at.NEXT_Q : at.NEXT_Q + 3]
    while not stop_tick(table, plain, N, at.SIM_Q, at.PATH_ALONE):
        fast.append(speed_at(model, plain, N))
    for limit, code in ((max(fast), STOPS), (max(fast) * (1.0 - 1e-9), FAST)):
        figures[at.FIGURE, at.TCP_STEP] = limit
        assert simulate_stop(model, table, state, at.NEXT_Q, at.PATH_ALONE, 1.0) == code
    figures[at.FIGURE, at.TCP_STEP] = steps[:, 1].max()
    state[at.TCP_LOOK] = -1.0
    first = float(table[at.LEVER, 0]) * state[at.NEXT_W, 0]
    assert simulate_stop(model, table, state, at.NEXT_Q, at.PATH_ALONE, first) == STOPS
    assert (state[at.TCP_LOOK] == -1.0).all(), "a bound at the very limit proves it"


@pytest.mark.parametrize(("speed", "axis"), [(1.0, 0), (0.15, 1)])
def test_a_stop_that_touches_a_wall_does_not_hit_it(speed: float, axis: int) -> None:
    """Axis x: the wall that the first look is at, from which it goes away; y: the one it comes to rest at."""
    guard, _ = stop_of(speed, 30.0)
    figures, table = changeable(guard.table)
    state = guard.state
    wall = state[at.TCP_SIM, 4 * axis + 3]
    for beyond, code in ((0.0, STOPS), (1e-9, HITS)):
        figures[at.BOX_HIGH, axis] = wall - beyond
        assert simulate_stop(ARM.chain.model, table, state, at.NEXT_Q, at.PATH_ALONE, 0.0) == code


def test_an_arm_at_rest_has_stopped_wherever_it_stands() -> None:
    guard = guard_of(Workspace((-9.0, -9.0, -9.0), (9.0, 9.0, 9.0)))
    put(guard, np.zeros(N), np.zeros(N))
    figures, table = changeable(guard.table)
    figures[at.BOX_HIGH, :3] = -5.0
    assert simulate_stop(ARM.chain.model, table, guard.state, at.NEXT_Q, at.PATH_ALONE, 0.0) == STOPS


def test_a_stop_from_the_candidate_takes_its_rooms_and_one_from_the_last_command_its_own() -> None:
    guard = Guard(ARM.chain, ARM.limits, DT, capsules=ARM.capsules)
    assert guard.reset(HOME) == Reason.PASSED
    put(guard, np.full(N, 1e-4), np.zeros(N))
    checks, model, rooms = len(guard.table) - at.CHECKS, ARM.chain.model, guard.state[[at.ROOM, at.ROOM_NEXT]].copy()
    for row, other in ((at.Q, at.ROOM_NEXT), (at.NEXT_Q, at.ROOM)):
        guard.state[[at.ROOM, at.ROOM_NEXT]] = rooms
        guard.state[other, :checks] = 100.0
        assert simulate_stop(model, guard.table, guard.state, row, at.PATH_ALONE, 0.0) == STOPS
        assert (np.abs(guard.state[at.ROOM_SIM, :checks]) < 10.0).all()
