"""Laws of the guard's distances: never nearer than what is kept, judged by plain numpy, and no sooner than needed."""

import math

import numpy as np
import pytest
from hostile import changeable
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from robostral import guard as guards
from robostral.arm import load_arm
from robostral.arm.chain import transform
from robostral.errors import ConfigError
from robostral.guard import SINGULAR, Guard, Reason, cell_guard
from robostral.guard import table as at
from robostral.guard.checks import (
    KEEP_OUT_DISTANCE,
    LOOK_MARGIN,
    RADII,
    REACH,
    SELF_DISTANCE,
    STOP,
    pack_checks,
    pack_shape,
)
from robostral.guard.clearance import (
    LEAST_SHARE,
    begin_watch,
    end_watch,
    pass_by,
    room_left,
    shrinks,
    survey,
    survey_condition,
    survey_pose,
)
from robostral.guard.hostile import attack
from robostral.keep_out import KeepOutBox, KeepOutPlane, KeepOutSphere
from robostral.kinematics.condition import condition
from robostral.kinematics.distance import Distances
from robostral.kinematics.fk import tcp_kernel
from robostral.oracle import count_taper_violations, count_violations, self_distances, sphere_distances

FloatArray = NDArray[np.float64]

UR = load_arm("ur5e")
BALL = KeepOutSphere((-0.5, 0.45, 0.4), 0.2)
ZONES = (BALL, KeepOutBox((-0.9, -0.9, 0.0), (-0.5, -0.5, 0.6)), KeepOutPlane((0.0, 0.0, 1.0), -0.15))


def walk(guard: Guard, direction: FloatArray, ticks: int) -> tuple[FloatArray, int]:
    """Push the joints along `direction` [rad/s] until the guard stops, or for so long; return commands and reason."""
    log, code = [guard.q_c.copy()], 0
    for _ in range(ticks):
        code = guard.step(guard.q_c + direction * guard.dt)
        log.append(guard.q_c.copy())
    return np.array(log), code


@pytest.mark.parametrize("name", ["ur5e", "panda", "fr3"])
def test_hostile_steps_never_touch(name: str) -> None:
    arm, dt, steps = load_arm(name), 0.002, 25_000
    guard = Guard(arm.chain, arm.limits, dt, capsules=arm.capsules, keep_out=ZONES)
    assert guard.reset(arm.home.copy()) == Reason.PASSED
    log, codes, starts = np.zeros((steps, arm.chain.n)), np.zeros(steps, np.int64), np.zeros(steps, np.int64)
    segments, impossible, _, _ = attack(*guard.tables, np.random.default_rng(5), log, codes, starts)
    found = count_violations(log, dt, arm.limits.array, starts[:segments].tolist())
    assert {finding["violations"] for finding in found.values()} == {0}
    assert impossible == 0
    apart, away = self_distances(arm, log).min(), sphere_distances(arm, log, BALL.center, BALL.radius).min()
    assert apart >= SELF_DISTANCE - 1e-9
    assert away >= KEEP_OUT_DISTANCE - 1e-9
    assert min(apart, away) < 2.0 * KEEP_OUT_DISTANCE, "the campaign was not hostile"
    if arm.limits.taper is not None:
        for a, b in zip(starts[:segments], [*starts[1:segments], steps], strict=True):
            assert count_taper_violations(log[a:b], dt, arm.limits.array, arm.limits.taper)["violations"] == 0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from(["ur5e", "panda", "wafer_rtz"]))
def test_rooms_are_distances_and_no_motion_shrinks_them_faster_than_its_bound(seed: int, name: str) -> None:
    arm, rng = load_arm(name), np.random.default_rng(seed)
    guard = Guard(arm.chain, arm.limits, 0.002, capsules=arm.capsules, keep_out=(BALL,))
    low, high = np.maximum(arm.limits.array[0], -math.pi), np.minimum(arm.limits.array[1], math.pi)
    q = rng.uniform(low, high)
    w = rng.normal(0.0, 10.0 ** rng.uniform(-4, -1), arm.chain.n)
    rooms = []
    for pose in (q, q + w):
        guard.state[at.NEXT_Q, : arm.chain.n] = pose
        survey_pose(arm.chain.model, guard.table, guard.state, at.NEXT_Q)
        rooms.append(guard.state[at.ROOM, : len(guard.table) - at.CHECKS].copy())
    pairs = len(arm.capsules.pairs)
    expected = Distances(arm).compute(q)[:pairs] - SELF_DISTANCE - LOOK_MARGIN
    assert rooms[0][:pairs] == pytest.approx(expected, abs=1e-12)
    for c, (before, after) in enumerate(zip(*rooms, strict=True)):
        if min(before, after) > -SELF_DISTANCE:  # an axis through an axis has no direction
            assert abs(before - after) <= shrinks(guard.table[at.CHECKS + c], w) + 1e-12


def test_the_oracle_measures_what_the_arm_measures() -> None:
    arm, rng = load_arm("panda"), np.random.default_rng(2)
    q = rng.uniform(arm.limits.array[0], arm.limits.array[1], (200, 7))
    distances = Distances(arm)
    expected = np.array([distances.compute(pose).min() for pose in q])
    clear = expected > 0.0
    assert self_distances(arm, q)[clear] == pytest.approx(expected[clear], abs=1e-9)


def test_slow_then_stop_at_the_distance() -> None:
    """Nearing the floor the arm slows down in proportion, then stops with the reason, a few millimetres before."""
    guard = Guard(UR.chain, UR.limits, 0.002, capsules=UR.capsules, keep_out=(KeepOutPlane((0, 0, 1), -0.1),))
    assert guard.reset(UR.home.copy()) == Reason.PASSED
    log, bits = [], 0
    while guard.step(guard.q_c + np.array([0, 0.002, 0, 0, 0, 0])) <= Reason.LIMITED:
        bits |= guard.limited
        log.append(guard.q_c.copy())
    assert bits & guards.LIMITED_CLEARANCE
    assert guard.reason == Reason.KEEP_OUT
    speed = np.diff(np.array(log), axis=0)[:, 1]
    assert speed[-1] < 0.1 * speed.max()
    guard.state[at.NEXT_Q, :6] = log[-1]
    survey_pose(UR.chain.model, guard.table, guard.state, at.NEXT_Q)
    rooms = guard.state[at.ROOM, len(UR.capsules.pairs) : len(guard.table) - at.CHECKS]
    assert 0.0 <= rooms.min() < 1e-3
    while not guard.brake():
        pass
    assert guard.reset(guard.q_c.copy()) == Reason.PASSED, "where a stop ends, the next motion may begin"
    for _ in range(300):
        assert guard.step(guard.q_c - np.array([0, 0.0008, 0, 0, 0, 0])) == Reason.PASSED or guard.limited < 32


def test_links_stop_before_they_touch() -> None:
    guard = Guard(UR.chain, UR.limits, 0.002, capsules=UR.capsules)
    assert guard.reset(UR.home.copy()) == Reason.PASSED
    log, code = walk(guard, np.array([0, 0, 1.0, 0, 0, 0]), 2000)
    assert code == Reason.SELF_COLLISION
    apart = self_distances(UR, log)
    assert SELF_DISTANCE <= apart.min() <= SELF_DISTANCE + 2 * LOOK_MARGIN


def test_an_arm_that_touches_is_not_armed() -> None:
    folded = np.array([0.0, -1.57, 3.1, 0.0, 0.0, 0.0])
    assert Guard(UR.chain, UR.limits, 0.002, capsules=UR.capsules).reset(folded) == Reason.SELF_COLLISION
    zone = KeepOutSphere((-0.3, -0.1, 0.7), 0.3)
    assert Guard(UR.chain, UR.limits, 0.002, capsules=UR.capsules, keep_out=(zone,)).reset(UR.home) == Reason.KEEP_OUT
    assert Guard(UR.chain, UR.limits, 0.002).reset(folded) == Reason.PASSED


def test_a_tool_is_part_of_the_arm() -> None:
    chain = UR.chain.with_tcp(transform((0, 0, 0.3), (0, 0, 0)))
    bare, held = (pack_checks(c, UR.limits, UR.capsules, (BALL,)) for c in (UR.chain, chain))
    assert len(held) == len(bare) + 1 + sum(UR.capsules.links < 3)
    assert bare.shape[1] == REACH + 6
    for length, more in ((LOOK_MARGIN, 0), (1.001 * LOOK_MARGIN, 1)):
        short = UR.chain.with_tcp(transform((0, 0, length), (0, 0, 0)))
        assert len(pack_checks(short, UR.limits, UR.capsules, (BALL,))) - len(bare) == more * (len(held) - len(bare))
    guard = Guard(chain, UR.limits, 0.002, capsules=UR.capsules, keep_out=(KeepOutPlane((0, 0, 1), 0.0),))
    q = UR.home.copy()
    assert guard.reset(q) == Reason.PASSED
    walk(guard, np.array([0, 0.5, 0, 0, 0, 0]), 3000)
    T = np.eye(4)
    tcp_kernel(chain.model, guard.q_c.copy(), T)
    assert guard.reason == Reason.KEEP_OUT
    assert KEEP_OUT_DISTANCE <= T[2, 3] < KEEP_OUT_DISTANCE + 0.01


@pytest.mark.parametrize("name", ["ur5e", "panda"])
def test_near_a_singular_pose_the_arm_slows_down_then_stops_and_may_leave(name: str) -> None:
    arm = load_arm(name)
    n = arm.chain.n
    guard = Guard(arm.chain, arm.limits, 0.002, conditioning=SINGULAR)
    assert guard.reset(arm.home.copy()) == Reason.PASSED
    push = np.zeros(n)
    push[4 if n == 6 else 3] = 0.4  # wrist 2 of the ur5e to zero, elbow of the panda straight
    log, code = walk(guard, push, 4000)
    assert code == Reason.CONDITIONING
    numbers, speed = condition(arm.chain, log), np.abs(np.diff(log, axis=0)).max(axis=1) / 0.002
    assert 29.0 < numbers.max() < 31.0
    assert (speed[(numbers[1:] > 28.0)] < 0.25 * 0.4).all()
    assert (speed[50:][numbers[51:] < 16.5] > 0.39).all() or speed[numbers[1:] < 16.5].max() > 0.39
    while not guard.brake():
        pass
    assert guard.reset(guard.q_c.copy()) == Reason.PASSED
    for _ in range(500):
        assert guard.step(guard.q_c - push * 0.002) <= Reason.LIMITED, "leaving is free"


def test_from_a_singular_pose_the_arm_may_leave() -> None:
    guard = Guard(UR.chain, UR.limits, 0.002, conditioning=SINGULAR)
    assert guard.reset(np.array([0.0, -math.pi / 2, 0.0, -math.pi / 2, 0.0, 0.0])) == Reason.PASSED
    for _ in range(1000):
        assert guard.step(guard.q_c + np.array([0, 0, 0.001, 0, -0.001, 0])) <= Reason.LIMITED


def test_the_bound_of_the_condition_number_holds() -> None:
    arm = load_arm("ur5e")
    guard = Guard(arm.chain, arm.limits, 0.002, conditioning=SINGULAR)
    guard.reset(arm.home.copy())
    for k in range(3000):
        assert guard.step(guard.q_c + 0.001 * np.sin(0.003 * k + np.arange(6))) <= Reason.CONDITIONING
        if guard.reason == Reason.CONDITIONING:
            break
        if k % 10 == 0:
            assert condition(arm.chain, guard.q_c.copy()) <= guard.state[at.META, at.CONDITION] + 1e-9 <= 30.0
    assert k > 200


def test_fr3_reaches_its_fastest_allowed_speed_near_a_limit() -> None:
    arm = load_arm("fr3")
    taper = arm.limits.taper
    assert taper is not None
    guard, q_d = Guard(arm.chain, arm.limits, 0.001), np.zeros(7)
    for joint in range(7):
        for sign, edge in ((1.0, arm.limits.array[1]), (-1.0, arm.limits.array[0])):
            assert guard.reset(arm.home.copy()) == Reason.PASSED
            log, best = [guard.q_c.copy()], 0.0
            for _ in range(3000):
                q_d[:] = guard.q_c
                q_d[joint] += sign * 0.006
                assert guard.step(q_d) <= Reason.LIMITED
                log.append(guard.q_c.copy())
            ahead = np.abs(edge[joint] - np.array(log)[1:, joint])
            speed = np.abs(np.diff(np.array(log)[:, joint])) / 0.001
            most = np.clip(np.sqrt(2 * taper[1, joint] * ahead) - taper[0, joint], 0, arm.limits.array[2, joint])
            near = (most > 0.05) & (most < 0.9 * arm.limits.array[2, joint]) & (speed > 0.02)
            assert (speed <= most + 1e-9).all()
            best = float((speed[near] / most[near]).max())
            assert best > 0.9, (joint, sign, best)
            rest = 0.5 * taper[0, joint] ** 2 / taper[1, joint]
            assert ahead[-1] <= rest * 2.6 + 2e-3


@pytest.mark.parametrize("name", ["ur5e", "panda", "iiwa14"])
def test_every_arm_keeps_the_same_form_of_speed_limit(name: str) -> None:
    """Where a vendor states none, the stop law gives it: speed² <= 2 ddq distance."""
    arm = load_arm(name)
    guard, q_d = Guard(arm.chain, arm.limits, 0.002), np.zeros(arm.chain.n)
    guard.reset(arm.home.copy())
    log = [guard.q_c.copy()]
    for _ in range(4000):
        np.multiply(arm.limits.array[2], 0.004, out=q_d)
        q_d += guard.q_c
        guard.step(q_d)
        log.append(guard.q_c.copy())
    w = np.abs(np.diff(np.array(log), axis=0))
    ahead = np.minimum(np.array(log)[1:] - arm.limits.array[0], arm.limits.array[1] - np.array(log)[1:])
    most = np.sqrt(2.0 * arm.limits.array[3] * (ahead + w)) + arm.limits.array[3] * 0.002
    assert (w / 0.002 <= most).all()
    assert ahead[-1].min() < 1e-6


def test_bad_shapes_are_refused() -> None:
    with pytest.raises(ConfigError, match="capsules"):
        Guard(UR.chain, UR.limits, 0.002, keep_out=(BALL,))
    with pytest.raises(ConfigError, match="slow <= stop"):
        Guard(UR.chain, UR.limits, 0.002, conditioning=(30.0, 17.0))
    with pytest.raises(ValueError, match="below"):
        KeepOutBox((0, 0, 0), (1, 0, 1))
    with pytest.raises(ValueError, match="length 1"):
        KeepOutPlane((0, 0, 2), 0.0)
    with pytest.raises(ValueError, match="positive"):
        KeepOutSphere((0, 0, 2), math.nan)


def test_the_guard_of_a_cell_holds_what_its_contract_asks_for() -> None:
    plain, cartesian = (
        cell_guard(UR, kind, 0.002, reduced=True) for kind in ("joint_position_delta", "tcp_pose_delta")
    )
    assert len(plain.table) == at.CHECKS + len(UR.capsules.pairs)
    assert plain.table[at.FIGURE, at.TCP_STEP] == pytest.approx(0.25 * 0.002, rel=1e-5)
    full = cell_guard(UR, "joint_position_delta", 0.002).table[at.FIGURE, at.TCP_STEP]
    assert full == pytest.approx(UR.limits.tcp_speed * 0.002, rel=1e-5)
    assert plain.table[at.FIGURE, at.CONDITION_STOP] == math.inf
    assert tuple(cartesian.table[at.FIGURE, [at.CONDITION_SLOW, at.CONDITION_STOP]]) == SINGULAR


def test_rooms_use_the_row_of_their_shape() -> None:
    guard = Guard(UR.chain, UR.limits, 0.002, capsules=UR.capsules, keep_out=ZONES)
    guard.state[at.NEXT_Q, :6] = UR.home
    survey_pose(UR.chain.model, guard.table, guard.state, at.NEXT_Q)
    shapes = Distances(UR, [pack_shape(zone) for zone in ZONES])
    expected = shapes.compute(UR.home)[len(UR.capsules.pairs) :]
    names = shapes.names[len(UR.capsules.pairs) :]
    plane_on_first = [k for k, name in enumerate(names) if "plane" in name and name.startswith(UR.chain.link_names[0])]
    rows = guard.table[at.CHECKS + len(UR.capsules.pairs) :]
    rooms = np.array([room_left(row, guard.state) for row in rows])
    assert len(rooms) == len(expected) - len(plane_on_first)
    wanted = np.delete(expected, plane_on_first) - KEEP_OUT_DISTANCE - LOOK_MARGIN
    assert np.sort(rooms) == pytest.approx(np.sort(wanted), abs=1e-12)


def test_an_arm_that_stands_with_no_room_left_may_stand_there() -> None:
    arm = load_arm("ur5e")
    guard = cell_guard(arm, "joint_position_delta", 0.002)
    assert guard.reset(arm.home) == Reason.PASSED
    state, n = guard.state, arm.chain.n
    state[at.ROOM, : len(guard.table) - at.CHECKS] = state[at.STOP_REACH] = 0.0
    watched = begin_watch(guard.table, state, n, at.ROOM)
    assert watched == 0
    assert end_watch(guard.table, state, watched)


def looked_for(guard: Guard, table: FloatArray, rooms: float) -> FloatArray:
    """Rooms at the candidate where every check had `rooms` before; one that was looked at is what there really is."""
    guard.state[at.ROOM] = rooms
    survey(UR.chain.model, table, guard.state)
    return guard.state[at.ROOM_NEXT, : len(table) - at.CHECKS] != rooms


def test_a_bound_at_its_very_figure_proves_enough() -> None:
    guard = Guard(UR.chain, UR.limits, 0.002, capsules=UR.capsules, keep_out=(BALL,), conditioning=SINGULAR)
    assert guard.reset(UR.home.copy()) == Reason.PASSED
    figures, table = changeable(guard.table)
    state, meta = guard.state, guard.state[at.META]
    state[at.NEXT_Q, :6] = UR.home
    assert not looked_for(guard, table, 0.0).any(), "at rest no way is left, and none is needed"
    assert meta[at.CLEAR] == 1.0
    assert looked_for(guard, table, -1e-12).all()
    state[at.NEXT_W, 0] = 1e-4
    reach = table[at.CHECKS :, REACH]
    figures[at.FIGURE, [at.APPROACH_GAIN, at.APPROACH_FLOOR]] = 0.0, 1e-4 * reach.max()
    state[at.ROOM] = 1.0
    survey(UR.chain.model, table, state)
    assert state[at.ROOM_NEXT, : len(reach)] == pytest.approx(1.0 - 1e-4 * reach, abs=1e-15)
    state[at.NEXT_W] = 0.0
    for least, factor, carried in ((0.5, 1.0, True), (2.0, 1.0, True), (0.5, 1.0 + 1e-12, False)):
        most = 17.0 * least * factor
        meta[at.S_MOST], meta[at.S_LEAST] = most, least
        assert survey_condition(UR.chain.model, table, state) == (True, 1.0)
        assert (meta[at.S_MOST_NEXT] == most) == carried


def test_a_room_of_exactly_nothing_is_enough() -> None:
    """For a pose, for a candidate, and on the way of a stop."""
    guard = Guard(UR.chain, UR.limits, 0.002, capsules=UR.capsules, keep_out=(BALL,))
    assert guard.reset(UR.home.copy()) == Reason.PASSED
    figures, table = changeable(guard.table)
    state, model = guard.state, UR.chain.model
    state[[at.NEXT_Q, at.SIM_Q]] = state[at.Q]
    for beyond, fine in ((0.0, True), (1e-9, False)):
        figures[-1] = guard.table[-1]
        figures[-1, STOP] = -LOOK_MARGIN
        figures[-1, RADII] = 0.0
        figures[-1, RADII] = room_left(table[-1], state) + beyond
        assert (room_left(table[-1], state) == 0.0) == fine
        assert (survey_pose(model, table, state, at.Q) == 0) == fine
        state[at.ROOM, len(table) - at.CHECKS - 1] = -1.0
        cause, share = survey(model, table, state)
        assert (cause == 0) == bool(state[at.META, at.CLEAR]) == fine
        assert share == 1.0, "what has grown asks for no share"
        state[at.WATCHED, 0], state[at.ROOM_SIM, len(table) - at.CHECKS - 1] = len(table) - 1, -1.0
        assert pass_by(model, table, state, 1, 0.0) == fine
    state[at.ROOM_SIM, len(table) - at.CHECKS - 1] = 0.5
    assert pass_by(model, table, state, 1, 0.5)
    assert state[at.ROOM_SIM, len(table) - at.CHECKS - 1] == 0.5, "and what is left as asked is not looked at"


def test_a_candidate_that_would_be_too_near_asks_for_a_share_of_its_speed_too() -> None:
    guard = Guard(UR.chain, UR.limits, 0.002, capsules=UR.capsules, keep_out=(BALL,))
    assert guard.reset(UR.home.copy()) == Reason.PASSED
    figures, table = changeable(guard.table)
    state, k = guard.state, len(guard.table) - at.CHECKS - 1
    state[at.NEXT_Q], state[at.NEXT_W, :6] = state[at.Q], 1e-3
    for room in (-1e-5, 2e-5):
        figures[-1, RADII] += room_left(table[-1], state) - room
        state[at.ROOM, k] = 4e-5
        cause, share = survey(UR.chain.model, table, state)
        floor = table[at.FIGURE, at.APPROACH_FLOOR] + table[at.FIGURE, at.APPROACH_GAIN] * max(room, 0.0)
        assert share == pytest.approx(min(floor / (4e-5 - room), 1.0))
        assert cause == (Reason.KEEP_OUT if room < 0.0 else 0)


def test_a_pose_at_the_figure_to_stop_at_and_a_singular_one() -> None:
    plain = Guard(UR.chain, UR.limits, 0.002)
    assert survey_condition(UR.chain.model, plain.table, plain.state) == (True, 1.0)
    guard = Guard(UR.chain, UR.limits, 0.002, conditioning=(5.0, 5.0))
    figures, table = changeable(guard.table)
    state, meta = guard.state, guard.state[at.META]
    for pose, number in ((UR.home, condition(UR.chain, UR.home.copy())), (np.zeros(6), 1e6)):
        assert guard.reset(pose.copy()) == Reason.PASSED
        assert meta[at.CONDITION] == 1e6
        state[at.NEXT_Q] = state[at.Q]
        survey_condition(UR.chain.model, table, state)
        assert meta[at.CONDITION_NEXT] == pytest.approx(number, rel=1e-9)
    state[at.NEXT_Q, :6], meta[at.CONDITION] = UR.home, 1.0
    survey_condition(UR.chain.model, table, state)
    number = meta[at.CONDITION_NEXT]
    for slow, stop, expected in (
        (number, 99.0, (True, 1.0)),
        (number - 1.0, number, (True, LEAST_SHARE)),
        (number - 1.0, number * (1.0 - 1e-12), (False, LEAST_SHARE)),
        (number - 1.0, number - 1.0, (False, 1.0)),
    ):
        meta[at.S_LEAST] = 0.0
        figures[at.FIGURE, [at.CONDITION_SLOW, at.CONDITION_STOP]] = slow, stop
        assert survey_condition(UR.chain.model, table, state) == expected
    meta[at.CONDITION] = number
    assert survey_condition(UR.chain.model, table, state) == (True, 1.0), "what does not grow is free"
