"""Each check of the guard alone, in milliseconds even uncompiled: it fires, with its reason, at its own figure."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from robostral import guard as guards
from robostral.arm import load_arm
from robostral.guard import SINGULAR, Guard, Reason, Workspace
from robostral.guard import table as at
from robostral.guard.braking import fastest
from robostral.guard.checks import KEEP_OUT_DISTANCE, LOOK_MARGIN
from robostral.guard.stop import peak_bound, stop_bound, stop_extent, stop_step, taper_room
from robostral.keep_out import KeepOut, KeepOutBox, KeepOutPlane, KeepOutSphere
from robostral.kinematics.condition import condition
from robostral.kinematics.fk import tcp_kernel
from robostral.oracle import count_taper_violations, link_poses

FloatArray = NDArray[np.float64]

UR, FR3 = load_arm("ur5e"), load_arm("fr3")
SLOW, STOP = SINGULAR
RATE = 0.8


def wrist(angle: float) -> FloatArray:
    """The home pose with wrist 2 at an angle: at 0 it is singular, the condition number falls with the angle."""
    q = UR.home.copy()
    q[4] = angle
    return q


def near_singular(angle: float, conditioning: tuple[float, float] | None = SINGULAR) -> Guard:
    guard = Guard(UR.chain, UR.limits, 0.004, conditioning=conditioning)
    assert guard.reset(wrist(angle)) == Reason.PASSED
    return guard


def turn_wrist(guard: Guard, rate: float, ticks: int) -> tuple[FloatArray, FloatArray]:
    """Turn wrist 2 towards zero until the guard stops; return condition numbers and speeds [rad/s] of all commands."""
    log = [guard.q_c.copy()]
    for _ in range(ticks):
        if guard.step(guard.q_c + np.array([0, 0, 0, 0, rate * guard.dt, 0])) > Reason.LIMITED:
            break
        log.append(guard.q_c.copy())
    numbers = np.array([condition(UR.chain, q) for q in log])
    return numbers[1:], np.diff(np.array(log)[:, 4]) / guard.dt


def test_towards_a_singular_pose_the_speed_falls_in_proportion_to_what_is_left() -> None:
    guard = near_singular(-0.6)
    numbers, speeds = turn_wrist(guard, RATE, 400)
    assert guard.reason == Reason.CONDITIONING
    assert guard.counts[Reason.CONDITIONING] == 1
    before, between = (numbers < SLOW) & (np.arange(len(numbers)) > 20), (numbers > SLOW + 1) & (numbers < STOP - 3)
    assert speeds[before] == pytest.approx(RATE, rel=1e-9)
    share = (STOP - numbers[between]) / (STOP - SLOW)
    assert between.sum() > 20
    assert speeds[between] == pytest.approx(RATE * share, rel=0.1)
    assert STOP - 1.0 < numbers.max() <= STOP
    assert speeds[-1] == pytest.approx(0.05 * RATE, rel=0.2), "and never to nothing: it arrives, and stops"


def test_slowing_for_a_singular_pose_has_its_bit() -> None:
    guard = near_singular(-0.42)
    turn_wrist(guard, RATE, 60)
    assert guard.limited & guards.LIMITED_CONDITIONING
    assert not guard.limited & guards.LIMITED_CLEARANCE


@pytest.mark.parametrize("angle", [-0.3, -0.1, 0.0])
def test_leaving_a_singular_pose_is_free(angle: float) -> None:
    """Between the figures, beyond them, and from the very pose: what was asked comes out bit for bit."""
    guard = near_singular(angle)
    for k in range(60):
        q_d = guard.q_c - np.array([0, 0, 0, 0, min(k, 40) * 0.02 * RATE * guard.dt, 0])
        assert guard.step(q_d) == Reason.PASSED
        assert (guard.q_c == q_d).all()
    assert guard.q_c[4] < angle - 0.02


def test_in_joint_space_singular_poses_are_no_matter() -> None:
    guard = near_singular(-0.05, None)
    turn_wrist(guard, 1.0, 40)
    assert guard.reason == Reason.PASSED
    assert guard.q_c[4] > 0.05


def test_the_condition_number_is_bounded_by_what_the_guard_carries() -> None:
    guard = near_singular(-0.9)
    for k in range(150):
        assert guard.step(guard.q_c + 0.002 * np.sin(0.05 * k + np.arange(6))) <= Reason.LIMITED
        assert condition(UR.chain, guard.q_c.copy()) <= guard.state[at.META, at.CONDITION] + 1e-9


@pytest.mark.parametrize("joint", [0, 1, 3, 5])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_fr3_keeps_the_speed_of_its_table_near_a_limit_and_uses_it(joint: int, sign: float) -> None:
    taper, figures = FR3.limits.taper, FR3.limits.array
    assert taper is not None
    pose, guard = FR3.home.copy(), Guard(FR3.chain, FR3.limits, 0.002)
    pose[joint] = (figures[1, joint] - 0.15) if sign > 0 else (figures[0, joint] + 0.15)
    assert guard.reset(pose) == Reason.PASSED
    log = [guard.q_c.copy()]
    for _ in range(280):
        q_d = guard.q_c.copy()
        q_d[joint] += sign * 0.01
        assert guard.step(q_d) <= Reason.LIMITED
        log.append(guard.q_c.copy())
    found = count_taper_violations(np.array(log), 0.002, figures, taper)
    assert found["violations"] == 0
    assert found["max_ratio"] > 0.97
    rest = 0.5 * taper[0, joint] ** 2 / taper[1, joint]
    ahead = abs((figures[1] if sign > 0 else figures[0])[joint] - guard.q_c[joint])
    assert rest * 0.9 < ahead < rest * 2.6 + 2e-3, "the table leaves no speed this near to the limit"


@pytest.mark.parametrize("begin", [0.0, 3e-5])
@pytest.mark.parametrize("share", [0.3, 1.0, 1.5, 3.0])
def test_room_for_the_taper_is_the_least_that_keeps_it(share: float, begin: float) -> None:
    """Along a whole stop that ends `room` before the limit the vendor's law holds; half the room is too little."""
    A, D = 4e-5, 1e-5
    per = 0.5 * share / A
    half_tick = 0.25 / per
    offset = 1e-3 + half_tick
    q, w, b = 0.0, 5e-4 if begin else 5e-3, begin
    room, (_, end) = taper_room(w, b, A, D, offset, per), stop_extent(w, b, A, D)
    assert room > 0.0 == taper_room(-w, 0.0, A, D, offset, per) == taper_room(w, 0.0, A, D, offset, 0.0)
    kept, close = [], []
    while w > 0.0:
        ahead = end - q
        kept.append(per * (w + offset - half_tick) ** 2 <= ahead + room + 1e-15)
        close.append(per * (w + offset - half_tick) ** 2 <= ahead + 0.5 * room)
        b = stop_step(w, b, A, D)
        w += b
        q += w
    assert all(kept)
    assert not all(close)


def capsule_ends(q: FloatArray, first: int) -> list[tuple[FloatArray, float]]:
    """Points along all capsules of links from `first` on, shape (k, 3) [m] in `base`, and their radii."""
    poses = link_poses(UR.chain, q[None])[0]
    along = np.linspace(0.0, 1.0, 101)[:, None]
    return [
        ((row[:3] + along * (row[3:6] - row[:3])) @ poses[link, :3, :3].T + poses[link, :3, 3], float(row[6]))
        for link, row in zip(UR.capsules.links, UR.capsules.array, strict=True)
        if link >= first
    ]


def box_distance(zone: KeepOutBox, p: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.norm(np.maximum(np.maximum(zone.low - p, p - zone.high), 0.0), axis=1))


def plane_distance(zone: KeepOutPlane, p: FloatArray) -> FloatArray:
    return np.asarray(p @ np.array(zone.normal) - zone.offset)


def sphere_distance(zone: KeepOutSphere, p: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.norm(p - np.array(zone.center), axis=1) - zone.radius)


@pytest.mark.parametrize(
    ("zone", "first", "apart"),
    [
        (KeepOutBox((-0.7, -0.6, 0.2), (-0.3, -0.31, 0.8)), 0, box_distance),
        (KeepOutSphere((-0.47, -0.45, 0.5), 0.15), 0, sphere_distance),
        (KeepOutPlane((0.0, 1.0, 0.0), -0.31), 1, plane_distance),
        (KeepOutPlane((0.28, 0.96, 0.0), -0.45), 1, plane_distance),
    ],
)
def test_the_arm_slows_and_stops_before_a_shape(zone: KeepOut, first: int, apart: Callable[..., FloatArray]) -> None:
    guard = Guard(UR.chain, UR.limits, 0.004, capsules=UR.capsules, keep_out=(zone,))
    assert guard.reset(UR.home.copy()) == Reason.PASSED
    bits, speeds = 0, []
    for _ in range(400):
        if guard.step(guard.q_c + np.array([0.002, 0, 0, 0, 0, 0])) > Reason.LIMITED:
            break
        bits |= guard.limited
        speeds.append(float(guard.dq_c[0]))
    assert guard.reason == Reason.KEEP_OUT
    assert guard.counts[Reason.KEEP_OUT] == 1
    assert bits & guards.LIMITED_CLEARANCE
    assert not bits & guards.LIMITED_CONDITIONING
    assert max(speeds) == pytest.approx(0.5, rel=1e-6)
    assert speeds[-1] < 0.1
    while not guard.brake():
        pass
    distance = min(float(apart(zone, points).min()) - radius for points, radius in capsule_ends(guard.q_c, first))
    assert KEEP_OUT_DISTANCE <= distance < KEEP_OUT_DISTANCE + LOOK_MARGIN + 0.001
    assert guard.reset(guard.q_c.copy()) == Reason.PASSED
    for _ in range(50):
        assert guard.step(guard.q_c - np.array([0.002, 0, 0, 0, 0, 0])) <= Reason.LIMITED, "away from it is free"
        assert not guard.limited & guards.LIMITED_CLEARANCE
    assert guard.dq_c[0] == pytest.approx(-0.5, rel=1e-6)


def cell(**options: object) -> Guard:
    guard = Guard(UR.chain, UR.limits, 0.004, **options)  # type: ignore[arg-type]
    assert guard.reset(UR.home.copy()) == Reason.PASSED
    return guard


def push(guard: Guard, direction: list[float]) -> Guard:
    """Push the joints [rad/s] until the guard stops."""
    for _ in range(600):
        if guard.step(guard.q_c + np.array(direction) * guard.dt) > Reason.LIMITED:
            break
    return guard


def told(act: Callable[[Guard], int]) -> Guard:
    guard = cell()
    act(guard)
    return guard


def too_fast() -> Guard:
    """A tcp far too fast, and a joint that cannot stop before its limit if it waits for the others."""
    guard = Guard(UR.chain, UR.limits.reduced(), 0.004)
    assert guard.reset(UR.home.copy()) == Reason.PASSED
    w = 0.002
    _, way = stop_extent(w, 0.0, guard.table[at.A, 2], guard.table[at.D, 2])
    guard.state[at.W, :3] = 0.9 * guard.table[at.V, 0], 0.0, w
    guard.state[at.Q, 2] = guard.table[at.HIGH, 2] - 1.02 * way
    guard.state[at.META, at.PATH], guard.state[at.META, at.FRESH] = at.PATH_TOGETHER, 0.0
    guard.coast()
    return guard


def walled() -> Guard:
    return cell(workspace=Workspace((-2.0, -0.20, -2.0), (2.0, 2.0, 2.0)))


FIRES: dict[Reason, Callable[[], Guard]] = {
    Reason.SIZE: lambda: told(lambda g: g.step(np.zeros(5))),
    Reason.NOT_FINITE: lambda: told(lambda g: g.step(UR.home * math.nan)),
    Reason.START_POSE: lambda: told(lambda g: g.step(UR.home + 0.021)),
    Reason.JUMP: lambda: told(lambda g: g.step(UR.home) + g.step(UR.home + 0.3)),
    Reason.TCP_SPEED: too_fast,
    Reason.WORKSPACE: lambda: push(walled(), [0.4, 0, 0, 0, 0, 0]),
    Reason.SELF_COLLISION: lambda: push(cell(capsules=UR.capsules), [0, 0, 1.0, 0, 0, 0]),
    Reason.CONDITIONING: lambda: push(near_singular(-0.35), [0, 0, 0, 0, 0.8, 0]),
    Reason.TRACKING: lambda: told(lambda g: g.measure(UR.home + 0.31)),
    Reason.COMMAND: lambda: told(lambda g: g.command(UR.home + 1e-12)),
    Reason.STOPPED: lambda: told(lambda g: g.brake()),
    Reason.KEEP_OUT: lambda: push(
        cell(capsules=UR.capsules, keep_out=(KeepOutPlane((0, 1, 0), -0.3),)), [0.4, 0, 0, 0, 0, 0]
    ),
} | {
    reason: lambda reason=reason: told(lambda g: g.brake(reason))  # type: ignore[misc]
    for reason in (Reason.SESSION, Reason.ORDER, Reason.AGE, Reason.CONTRACT, Reason.ENERGY)
}


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason > Reason.LIMITED], ids=lambda r: r.name)
def test_each_reason_is_the_answer_of_its_check_alone(reason: Reason) -> None:
    """A reason that is new has to be listed in `FIRES`, and counts as a reject unless it was asked for."""
    guard = FIRES[reason]()
    assert guard.reason == reason == guard.step(guard.q_c)
    rejects = dict.fromkeys(Reason, 0) | {reason: 1}
    assert {code: int(guard.counts[code]) for code in Reason if code > Reason.LIMITED} == {
        code: count for code, count in rejects.items() if code > Reason.LIMITED
    }
    assert guard.rejected == (0 if reason == Reason.STOPPED else 1)
    while not guard.brake():
        pass
    assert guard.counts[reason] == 1


@pytest.mark.parametrize("direction", [[0.4, 0, 0, 0, 0, 0], [0, 0, 1.0, 0, 0, 0], [0, 0, 0, 0, 0.8, 0]])
def test_without_checks_nothing_but_the_joints_binds(direction: list[float]) -> None:
    """What stops for a wall, a link, a shape or a singular pose above goes on here."""
    guard = push(cell(), direction)
    assert guard.reason == Reason.PASSED
    assert guard.rejected == 0


def test_each_limit_has_a_bit_of_its_own() -> None:
    bits = [getattr(guards, name) for name in guards.__all__ if name.startswith("LIMITED_")]
    assert sorted(bits) == [1 << k for k in range(7)]


@pytest.mark.parametrize("seed", range(12))
def test_the_bound_of_the_tcp_speed_in_a_stop_holds_and_is_near(seed: int) -> None:
    """From any state, each joint stopping by itself; nearer by half than levers alone tell."""
    arm, rng = (UR, FR3)[seed % 2], np.random.default_rng(seed)
    guard, n = Guard(arm.chain, arm.limits, 0.004), arm.chain.n
    assert guard.reset(arm.home.copy()) == Reason.PASSED
    share, T = 10.0 ** rng.uniform(-2, 0), np.zeros((2, 4, 4))
    q, w, b = guard.state[at.NEXT_Q, :n], guard.state[at.NEXT_W, :n], guard.state[at.NEXT_B, :n]
    q[:] = arm.home + rng.uniform(-0.1, 0.1, n)
    w[:], b[:] = rng.uniform(-1, 1, (2, n)) * guard.table[[at.V, at.A], :n] * [[0.3 * share], [share]]
    A, D = guard.table[at.A], guard.table[at.D]
    for i in range(n):
        guard.state[at.STOP_REACH, i] = stop_bound(w[i], b[i], A[i], D[i])
    bound = fastest(arm.chain.model, guard.table, guard.state)
    levers = sum(guard.table[at.LEVER, i] * peak_bound(w[i], b[i], D[i]) for i in range(n))
    assert bound < levers
    tcp_kernel(arm.chain.model, q - w, T[0])
    most = 0.0
    while w.any() or b.any():
        tcp_kernel(arm.chain.model, q, T[1])
        most = max(most, float(np.linalg.norm(T[1, :3, 3] - T[0, :3, 3])))
        T[0] = T[1]
        for i in range(n):
            b[i] = stop_step(w[i], b[i], A[i], D[i])
        w += b
        q += w
    assert most <= bound < 4.0 * most


def test_without_checks_a_sudden_halt_is_limited_by_the_joints_alone() -> None:
    guard = cell()
    for _ in range(60):
        guard.step(guard.q_c + np.full(6, 0.002))
    for _ in range(6):
        halt = guard.q_c.copy()
        assert guard.step(halt) == Reason.LIMITED
        assert not guard.limited & (guards.LIMITED_CLEARANCE | guards.LIMITED_CONDITIONING)
