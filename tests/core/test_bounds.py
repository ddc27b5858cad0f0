"""What the guard carries from tick to tick against plain numpy: rooms, singular values, the tcp's speed, its table."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from robostral import guard as guards
from robostral.arm import load_arm
from robostral.arm.chain import KIND, POS
from robostral.guard import SINGULAR, Guard, Reason
from robostral.guard import checks as columns
from robostral.guard import table as at
from robostral.guard.braking import speed_at, travel
from robostral.guard.checks import FIRST, KEEP_OUT_DISTANCE, LAST, LOOK_MARGIN, REACH, REASON, SELF_DISTANCE
from robostral.guard.clearance import (
    LEAST_SHARE,
    begin_watch,
    end_watch,
    pass_by,
    place_links,
    room_left,
    survey,
    survey_condition,
    survey_pose,
)
from robostral.guard.stop import peak_bound, stop_bound, stop_extent
from robostral.keep_out import KeepOutBox, KeepOutPlane, KeepOutSphere
from robostral.kinematics.distance import box
from robostral.kinematics.fk import tcp_kernel
from robostral.kinematics.jacobian import jacobian

FloatArray = NDArray[np.float64]

DT = 0.004
ZONES = (
    KeepOutSphere((-0.5, 0.45, 0.4), 0.2),
    KeepOutBox((-0.9, -0.9, 0.0), (-0.5, -0.5, 0.6)),
    KeepOutPlane((0.0, 0.0, 1.0), -0.15),
)


def cell(name: str = "ur5e") -> Guard:
    arm = load_arm(name)
    guard = Guard(arm.chain, arm.limits, DT, capsules=arm.capsules, keep_out=ZONES, conditioning=SINGULAR)
    assert guard.reset(arm.home.copy()) == Reason.PASSED
    return guard


def candidate(guard: Guard, rng: np.random.Generator, speed: float) -> FloatArray:
    """Give the guard a candidate near its last command, moving [share of the limit]; return its velocities per tick."""
    n, state = guard.chain.n, guard.state
    w = rng.uniform(-speed, speed, n) * guard.table[at.V, :n]
    state[at.NEXT_Q, :n], state[at.NEXT_W, :n] = state[at.Q, :n] + w, w
    state[at.NEXT_B, :n] = rng.uniform(-1, 1, n) * guard.table[at.A, :n]
    return w


def true_rooms(guard: Guard, row: int) -> FloatArray:
    state = guard.state.copy()
    survey_pose(guard.chain.model, guard.table, state, row)
    return state[at.ROOM, : len(guard.table) - at.CHECKS]


def stops(guard: Guard) -> FloatArray:
    rows = (guard.state[at.NEXT_W], guard.state[at.NEXT_B], guard.table[at.A], guard.table[at.D])
    return np.array([stop_bound(*(row[i] for row in rows)) for i in range(guard.chain.n)])


@pytest.mark.parametrize("speed", [0.02, 0.9])
@pytest.mark.parametrize("seed", range(5))
def test_rooms_are_carried_where_that_proves_enough_and_measured_elsewhere(seed: int, speed: float) -> None:
    rng, guard = np.random.default_rng(seed), cell(("ur5e", "panda")[seed % 2])
    n, state, table = guard.chain.n, guard.state, guard.table
    checks = table[at.CHECKS :]
    reach = np.abs(checks[:, REACH : REACH + n])
    carried = true_rooms(guard, at.Q) - rng.uniform(0.0, 0.4, len(checks)) * (rng.random(len(checks)) < 0.5)
    w = candidate(guard, rng, speed)
    true = true_rooms(guard, at.NEXT_Q)
    step, way = reach @ np.abs(w), reach @ stops(guard)
    edge = rng.random(len(checks)) < 0.4
    carried[edge] = (step + way * rng.choice([0.97, 1.03], len(checks)))[edge]
    state[at.ROOM, : len(checks)] = carried
    room, floor = carried - step, at.APPROACH_LEAST * DT
    look = (step > at.APPROACH_RATE * DT * room + floor) | (way > room)
    share = 1.0
    for k in np.flatnonzero(look):
        most = at.APPROACH_RATE * DT * max(true[k], 0.0) + floor
        if carried[k] - true[k] > most:
            share = min(share, most / (carried[k] - true[k]))
    cause, found = survey(guard.chain.model, table, state)
    rooms = np.where(look, true, room)
    assert state[at.ROOM_NEXT, : len(checks)] == pytest.approx(rooms, abs=1e-12)
    assert found == pytest.approx(max(share, LEAST_SHARE), rel=1e-9)
    assert (cause != 0) == (rooms[look] < 0.0).any()
    assert state[at.META, at.CLEAR] == float((way <= rooms).all())
    assert not state[at.META, at.CLEAR] or speed < 0.1 or seed % 2, "a fast ur5e is never clear of everything here"
    assert state[at.STOP_REACH, :n] == pytest.approx(stops(guard))


@pytest.mark.parametrize("seed", range(6))
def test_a_simulated_stop_watches_what_the_ways_to_rest_could_use_up(seed: int) -> None:
    rng, guard = np.random.default_rng(seed), cell()
    n, state, table, model = guard.chain.n, guard.state, guard.table, guard.chain.model
    checks = table[at.CHECKS :]
    reach = checks[:, REACH : REACH + n]
    candidate(guard, rng, 0.2)
    state[at.STOP_REACH, :n] = rng.uniform(0.0, 0.3, n)
    state[at.ROOM_NEXT, : len(checks)] = rng.uniform(0.02, 0.8, len(checks))
    rooms = state[at.ROOM_NEXT, : len(checks)].copy()
    expected = np.flatnonzero(reach @ state[at.STOP_REACH, :n] > rooms)
    state[at.TRAVEL] = 9.0
    watched = begin_watch(table, state, n, at.ROOM_NEXT)
    assert state[at.WATCHED, :watched].tolist() == (expected + at.CHECKS).tolist()
    assert 0 < watched < len(checks)
    travelled = np.zeros(n)
    for tick in range(4):
        w = rng.normal(0.0, 0.01, n)
        state[at.SIM_W, :n] = w
        state[at.SIM_Q, :n] = state[at.Q, :n]
        travelled += np.abs(w)
        least = 0.01 * tick
        rooms[expected] -= (reach @ np.abs(w))[expected]
        looked = expected[rooms[expected] < least]
        true = true_rooms(guard, at.SIM_Q)
        rooms[looked] = true[looked]
        assert pass_by(model, table, state, watched, least) == bool((true[looked] >= 0.0).all())
        assert state[at.ROOM_SIM, : len(checks)] == pytest.approx(rooms, abs=1e-12)
    assert state[at.TRAVEL, :n] == pytest.approx(travelled)
    others = np.setdiff1d(np.arange(len(checks)), expected)
    used = np.flatnonzero(reach @ travelled > rooms)
    state[at.META, at.CAUSE] = -1.0
    assert end_watch(table, state, watched) == (not np.isin(others, used).any())
    state[at.TRAVEL, :n] = 0.0
    assert end_watch(table, state, watched)
    state[at.ROOM_SIM, others[-1]] = -1.0
    assert not end_watch(table, state, watched)
    assert state[at.META, at.CAUSE] == table[at.CHECKS + others[-1], REASON]
    state[at.ROOM_SIM, others[-1]], state[at.ROOM_SIM, expected[0]] = 1.0, -1.0
    assert end_watch(table, state, watched), "what was watched has been judged already"
    state[at.SIM_Q, 2], state[at.SIM_W, :n] = 3.0, 0.0  # the elbow folded: its links are in each other
    lost = np.flatnonzero(true_rooms(guard, at.SIM_Q) < 0.0)
    state[at.ROOM_NEXT, : len(checks)] = -1.0
    assert begin_watch(table, state, n, at.ROOM_NEXT) == len(checks)
    assert not pass_by(model, table, state, len(checks), 0.0)
    assert state[at.META, at.CAUSE] == table[at.CHECKS + lost[0], REASON]


@pytest.mark.parametrize("seed", range(8))
def test_singular_values_are_carried_where_that_proves_enough_and_measured_elsewhere(seed: int) -> None:
    rng, guard = np.random.default_rng(seed), cell(("ur5e", "panda")[seed % 2])
    n, state, meta, model = guard.chain.n, guard.state, guard.state[at.META], guard.chain.model
    candidate(guard, rng, 0.02)
    sigma = np.linalg.svd(jacobian(guard.chain, state[at.NEXT_Q, :n].copy()), compute_uv=False)
    change = float(guard.table[at.SWING, :n] @ np.abs(state[at.NEXT_W, :n]))
    for most, least in ((sigma[0], sigma[-1]), (1.2 * sigma[0], 0.5 * sigma[-1]), (math.inf, 0.0)):
        meta[at.S_MOST], meta[at.S_LEAST], meta[at.CONDITION] = most, least, 1e6
        up, down = most + change, least - change
        expected = (up, down) if down > 0.0 and up <= SINGULAR[0] * down else (sigma[0], sigma[-1])
        assert survey_condition(model, guard.table, state) == (True, 1.0)
        assert (meta[at.S_MOST_NEXT], meta[at.S_LEAST_NEXT]) == pytest.approx(expected, rel=1e-9)
        assert meta[at.CONDITION_NEXT] == pytest.approx(expected[0] / expected[1], rel=1e-9)
    for bend in (0.42, 0.3, 0.2):
        home = load_arm("ur5e").home
        guard = cell()
        guard.state[at.NEXT_Q, :6] = [*home[:4], -bend, home[5]]
        meta = guard.state[at.META]
        meta[at.S_LEAST], meta[at.CONDITION] = 0.0, 1.0
        sigma = np.linalg.svd(jacobian(guard.chain, guard.state[at.NEXT_Q, :6].copy()), compute_uv=False)
        number = sigma[0] / sigma[-1]
        steady, share = survey_condition(guard.chain.model, guard.table, guard.state)
        assert steady == (number <= SINGULAR[1])
        assert share == pytest.approx(max((SINGULAR[1] - number) / (SINGULAR[1] - SINGULAR[0]), LEAST_SHARE))


@pytest.mark.parametrize("seed", range(8))
def test_the_tcp_speed_that_is_carried_along_bounds_the_true_one(seed: int) -> None:
    rng, guard = np.random.default_rng(seed), cell()
    n, state, T = guard.chain.n, guard.state, np.zeros((3, 4, 4))
    before = rng.normal(0.0, 0.004, n)
    now = before * rng.uniform(0.7, 1.0) + rng.normal(0.0, 1e-5, n)
    q = np.array([state[at.Q, :n], state[at.Q, :n] + before, state[at.Q, :n] + before + now])
    for k in range(3):
        tcp_kernel(guard.chain.model, q[k].copy(), T[k])
    first, second = np.linalg.norm(np.diff(T[:, :3, 3], axis=0), axis=1)
    state[at.SIM_W, :n], state[at.SIM_B, :n] = now, now - before
    lever = guard.table[at.LEVER, :n]
    after, bound = travel(guard.table, state, n, float(first))
    assert after == pytest.approx(lever @ np.abs(now))
    factor = (lever @ np.abs(now)) / (lever @ np.abs(before))
    rest = lever @ np.abs(now - factor * before)
    turn = np.maximum(np.abs(now), np.abs(before)).sum()
    assert bound == pytest.approx(min(after, factor * first + rest + after * turn))
    assert second <= bound < 0.7 * after
    state[at.SIM_W, :n] = state[at.SIM_B, :n] = now
    assert travel(guard.table, state, n, 0.0) == (after, after), "from rest nothing but the levers is known"


@pytest.mark.parametrize("seed", range(6))
def test_the_room_before_a_turned_box_is_that_of_the_nearest_point_of_the_capsule(seed: int) -> None:
    rng, guard = np.random.default_rng(seed), cell()
    state, row = guard.state, guard.table[-1].copy()
    T, half = np.eye(4), rng.uniform(0.05, 0.2, 3)
    T[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    T[:3, 3] = rng.uniform(0.6, 0.9, 3) * rng.choice([-1.0, 1.0], 3)
    row[columns.SHAPE : REACH] = box(T, 2.0 * half)
    place_links(guard.chain.model, state, at.Q)
    link = state[at.FRAMES + int(row[0])]
    ends = row[columns.SEGMENT : columns.SHAPE].reshape(2, 3) @ link[:9].reshape(3, 3).T + link[9:12]
    points = ends[0] + np.linspace(0.0, 1.0, 2001)[:, None] * (ends[1] - ends[0])
    outside = np.maximum(np.abs((points - T[:3, 3]) @ T[:3, :3]) - half, 0.0)
    expected = np.linalg.norm(outside, axis=1).min() - row[2] - row[3] - LOOK_MARGIN
    assert room_left(row, state) == pytest.approx(expected, abs=1e-6)


def test_checks_know_their_joints_and_reasons() -> None:
    arm = load_arm("ur5e")
    rows = cell().table[at.CHECKS :]
    pairs, links = arm.capsules.pairs, arm.capsules.links
    expected = [(min(links[a], links[b]) + 1, max(links[a], links[b]), Reason.SELF_COLLISION) for a, b in pairs]
    for first in (0, 0, 1):
        expected += [(0, link, Reason.KEEP_OUT) for link in links if link >= first]
    assert [tuple(row) for row in rows[:, [FIRST, LAST, REASON]].astype(int)] == [tuple(map(int, e)) for e in expected]
    kept = np.where(rows[:, REASON] == Reason.SELF_COLLISION, SELF_DISTANCE, KEEP_OUT_DISTANCE)
    assert (rows[:, 3] == kept).all()
    for row in rows:
        moving = np.arange(6)
        inside = (moving >= row[FIRST]) & (moving <= row[LAST])
        assert (row[REACH : REACH + 6][inside] > 0.0).all()
        assert not row[REACH : REACH + 6][~inside].any()
    assert LOOK_MARGIN == 0.002


@pytest.mark.parametrize("name", ["ur5e", "wafer_rtz"])
def test_reaches_are_sums_of_link_lengths_along_the_shorter_way(name: str) -> None:
    arm = load_arm(name)
    model, n = arm.chain.model, arm.chain.n
    slides = model[:n, KIND] != 0.0
    lengths = np.linalg.norm(model[:n, POS : POS + 3], axis=1)
    lengths += np.where(slides, np.abs(arm.limits.array[:2]).max(axis=0), 0.0)
    extents = np.linalg.norm(arm.capsules.array[:, :6].reshape(-1, 2, 3), axis=2).max(axis=1)
    rows = Guard(arm.chain, arm.limits, DT, capsules=arm.capsules, keep_out=ZONES[:1]).table[at.CHECKS :]
    ends = [*arm.capsules.pairs.tolist(), *((k, -1) for k in range(len(extents)) if arm.capsules.links[k] >= 0)]
    for row, (a, b) in zip(rows[: len(ends)], ends, strict=True):
        links = [int(arm.capsules.links[a]), int(arm.capsules.links[b]) if b >= 0 else -1]
        far = [float(extents[a]), float(extents[b]) if b >= 0 else float(np.linalg.norm(ZONES[0].center))]
        if links[0] < links[1]:
            links.reverse()
            far.reverse()
        for i in range(links[1] + 1, links[0] + 1):
            above = far[0] + lengths[i + 1 : links[0] + 1].sum()
            below = far[1] + lengths[links[1] + 1 : i + 1].sum()
            assert row[REACH + i] == pytest.approx(1.0 if slides[i] else min(above, below))


@pytest.mark.parametrize(("w", "b"), [(60.0, 0.0), (-60.0, 0.5), (0.3, -0.2), (5.0, 0.9), (0.0, 0.6)])
def test_the_bound_of_a_way_to_rest_is_what_it_says_and_not_far(w: float, b: float) -> None:
    A, D = 1.0, 0.5
    down, up = stop_extent(w, b, A, D)
    peak = abs(w) + 0.5 * abs(b) * (abs(b) / D + 1.0)
    assert peak_bound(w, b, D) == pytest.approx(peak)
    bound = stop_bound(w, b, A, D)
    assert bound == pytest.approx(peak * ((2.0 * A + abs(b)) / D + 4.0 + 0.5 * peak / A))
    assert max(up, -down) <= bound
    if abs(w) > 50.0:
        assert bound < 1.4 * max(up, -down)


def test_a_speed_that_is_looked_at_is_that_of_the_tick() -> None:
    guard, T = cell(), np.zeros((2, 4, 4))
    q, w = guard.q_c.copy(), np.array([0.01, -0.02, 0.005, 0.03, 0.02, 0.04])
    guard.state[at.SIM_Q, :6], guard.state[at.SIM_W, :6] = q, w
    tcp_kernel(guard.chain.model, q - w, T[0])
    tcp_kernel(guard.chain.model, q, T[1])
    expected = float(np.linalg.norm(T[1, :3, 3] - T[0, :3, 3]))
    assert speed_at(guard.chain.model, guard.state, 6) == pytest.approx(expected, rel=1e-9)


def test_a_tcp_that_would_be_too_fast_goes_on_steadily_just_below_its_limit() -> None:
    arm = load_arm("ur5e")
    guard, T, way = Guard(arm.chain, arm.limits.reduced(), DT), np.zeros((4, 4)), []
    assert guard.reset(arm.home.copy()) == Reason.PASSED
    for _ in range(150):
        assert guard.step(guard.q_c + np.array([0.008, 0, 0, 0, 0, 0])) <= Reason.LIMITED
        tcp_kernel(arm.chain.model, guard.q_c.copy(), T)
        way.append(T[:3, 3].copy())
    speeds = np.linalg.norm(np.diff(way, axis=0), axis=1) / DT
    assert guard.limited & guards.LIMITED_TCP_SPEED
    assert speeds[60:] == pytest.approx(0.95 * 0.25, rel=2e-3)
