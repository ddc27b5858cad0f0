"""The controller's set-points: moves arrive, obey their figures, stops stop, and servoj trails by its lookahead."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robostral_drivers.ur import motion
from robostral_drivers.ur.geometry import Geometry, Unreachable, matrix, pose_of
from robostral_drivers.ur.motion import DT, Motion

from robostral.arm import load_arm

POSITIVE = st.floats(0.01, 10.0)


@pytest.fixture(scope="module")
def geometry() -> Geometry:
    return Geometry(load_arm("ur5e"))


def run(moves: motion.Moves, state: Motion) -> np.ndarray:
    return np.array([state.q.copy() for _ in moves])


@settings(deadline=None, max_examples=30)
@given(POSITIVE, POSITIVE, POSITIVE)
def test_a_trapezoid_arrives_and_keeps_its_speed(length: float, speed: float, acceleration: float) -> None:
    duration, done = motion.trapezoid(length, speed, acceleration)
    t = np.linspace(0.0, duration, 2001)
    way = length * np.array([done(x) for x in t])
    velocity = np.gradient(way, t)
    assert way[0] == 0.0
    assert way[-1] == pytest.approx(length)
    assert velocity.min() > -1e-9
    assert velocity.max() < speed * (1.0 + 1e-6)
    assert np.abs(np.gradient(velocity, t)[2:-2]).max() < acceleration * (1.0 + 1e-3)


def test_movej_ends_at_its_goal(geometry: Geometry) -> None:
    state = Motion(geometry)
    goal = state.q + np.array([0.4, -0.1, 0.2, 0.0, 0.3, -0.4])
    path = run(motion.movej(state, goal, 1.0, 5.0, lambda: 1.0), state)
    np.testing.assert_allclose(state.q, goal, atol=1e-12)
    assert state.at_rest
    assert np.abs(np.diff(path, axis=0)).max() / DT < 1.0 + 1e-9
    assert len(path) * DT == pytest.approx(0.4 / 1.0 + 1.0 / 5.0, abs=2 * DT)


def test_half_the_slider_doubles_the_time(geometry: Geometry) -> None:
    state = Motion(geometry)
    goal = state.q + 0.2
    whole = len(run(motion.movej(state, goal, 1.0, 4.0, lambda: 1.0), state))
    assert len(run(motion.movej(state, goal - 0.2, 1.0, 4.0, lambda: 0.5), state)) == pytest.approx(2 * whole, abs=2)


def test_movel_keeps_to_its_line(geometry: Geometry) -> None:
    state = Motion(geometry)
    start = geometry.tcp(state.q)
    goal = [start[0] + 0.1, start[1] + 0.05, start[2] - 0.1, *start[3:]]
    path = run(motion.movel(state, goal, 0.25, 1.2, lambda: 1.0), state)
    points = np.array([geometry.tcp(q)[:3] for q in path]) - start[:3]
    way = np.array([0.1, 0.05, -0.1])
    assert np.linalg.norm(np.cross(points, way), axis=1).max() / np.linalg.norm(way) < 1e-6
    np.testing.assert_allclose(geometry.tcp(state.q), goal, atol=1e-6)


def test_movel_refuses_what_it_cannot_reach(geometry: Geometry) -> None:
    with pytest.raises(Unreachable):
        run(motion.movel(Motion(geometry), [2.0, 0.0, 0.3, 0.0, 0.0, 0.0], 0.25, 1.2, lambda: 1.0), Motion(geometry))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-3.0, 3.0), min_size=6, max_size=6), st.floats(1.0, 20.0))
def test_a_stop_ends_at_rest_and_never_turns_round(geometry: Geometry, dq: list[float], ddq: float) -> None:
    state = Motion(geometry)
    state.dq[:] = dq
    path = np.array([state.q.copy(), *run(motion.stop(state, ddq), state)])
    assert state.at_rest
    assert len(path) - 1 <= np.ceil(max(map(abs, dq)) / ddq / DT + 1e-6)
    assert (np.diff(path, axis=0) * np.sign(dq) >= -1e-12).all()


@pytest.mark.parametrize(("lookahead", "gain"), [(0.03, 2000.0), (0.1, 300.0), (0.2, 100.0)])
def test_servoj_trails_a_steady_motion_by_its_lookahead(geometry: Geometry, lookahead: float, gain: float) -> None:
    state = Motion(geometry)
    target, speed = state.q.copy(), np.full(6, 0.2)
    for _ in range(2000):
        target += speed * DT
        state.servo(target, lookahead, gain)
    # Within the period that a target set now takes to act.
    np.testing.assert_allclose((target - state.q) / speed, lookahead, atol=DT)


def test_limits_are_those_of_the_arm(geometry: Geometry) -> None:
    state = Motion(geometry)
    assert state.violation() is None
    state.dq[2] = 3.2
    assert "elbow_joint at +3.20 rad/s" in (state.violation() or "")
    state.dq[2], state.q[2] = 0.1, 3.2
    assert "elbow_joint at +3.200 rad leaves" in (state.violation() or "")
    state.dq[2] = -0.1
    assert state.violation() is None
    assert state.jump(state.q, state.q, DT) is None
    assert "wrist_3_joint by +0.100 rad" in (state.jump(state.q + np.array([0, 0, 0, 0, 0, 0.1]), state.q, DT) or "")


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-1.0, 1.0), min_size=6, max_size=6))
def test_a_pose_of_ur_is_a_transform_and_back(pose: list[float]) -> None:
    np.testing.assert_allclose(pose_of(matrix(pose)), pose, atol=1e-9)
