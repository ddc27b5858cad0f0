"""Laws of one joint's stop and of the step that keeps it possible, each against plain arithmetic."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robostral import guard as guards
from robostral.guard.stop import landing, limit_step, stop_bound, stop_extent, stop_step, taper_room


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0, 4.0, 50.0])
def test_a_limited_command_is_the_nearest_allowed_one(ratio: float) -> None:
    """A joint that ended a little nearer to what was asked could not stop before its limit any more."""
    rng, seen = np.random.default_rng(5), 0
    V, A = 6e-3, 4e-5
    D, q, w, b = A / ratio, 0.0, 0.0, 0.0
    for k in range(8000):
        q_d = q + (1.0 if k % 2000 < 1000 else -1.0) * 2e-2 * rng.uniform()
        q_next, bits = limit_step(q, w, b, q_d, -0.5, 0.5, V, A, D, 0.0, 0.0)
        w_next = q_next - q
        x = w_next - w
        nearer = x + math.copysign(1e-4 * D, q_d - q_next)
        if bits & guards.LIMITED_POSITION and abs(nearer) < A and abs(nearer - b) < D:
            down, up = stop_extent(w + nearer, nearer, A, D)
            assert q + (w + nearer) + up > 0.5 or q + (w + nearer) + down < -0.5
            seen += 1
        q, w, b = q_next, w_next, x
    assert seen > 100


@pytest.mark.parametrize("ratio", [0.5, 1.5, 4.0])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_limits_are_sharp(ratio: float, sign: float) -> None:
    """A billionth beyond each limit is cut, a billionth inside passes."""
    A, V = 4e-5, 6e-3
    D = A / ratio
    at_speed, near_A = sign * (V - 0.5 * D), sign * (A - 0.5 * D)
    for w, b, x, bit in (
        (0.0, 0.0, min(D, A), guards.LIMITED_JERK if ratio >= 1.0 else guards.LIMITED_ACCELERATION),
        (0.0, near_A, A, guards.LIMITED_ACCELERATION),
        (at_speed, 0.0, 0.5 * D, guards.LIMITED_VELOCITY),
    ):
        if abs(b) > A or x > A:
            continue
        for factor, bits in ((1.0 + 1e-9, bit), (1.0 - 1e-9, 0)):
            got = limit_step(0.0, w, b, w + factor * sign * x, -9.0, 9.0, V, A, D, 0.0, 0.0)
            assert got[1] & bit == bits
            assert got[0] == pytest.approx(w + min(factor, 1.0) * sign * x, abs=1e-3 * D * 1e-9)


@settings(max_examples=300, deadline=None)
@given(w=st.floats(-50, 50), b=st.floats(-1, 1), ratio=st.floats(0.3, 40.0))
def test_the_stop_law_lands_exactly(w: float, b: float, ratio: float) -> None:
    A, D = 1.0, 1.0 / ratio
    down, up = stop_extent(w, b, A, D)
    bound = stop_bound(w, b, A, D)
    p = lowest = highest = 0.0
    for _ in range(1000):
        b_next = stop_step(w, b, A, D)
        assert abs(b_next - b) <= D * (1 + 1e-12)
        assert abs(b_next) <= A
        w, b = w + b_next, b_next
        p += w
        lowest, highest = min(lowest, p), max(highest, p)
        if abs(w) + abs(b) < 1e-300:
            break
    assert (w, b) == (0.0, 0.0) or abs(w) < 1e-12
    assert (down, up) == pytest.approx((lowest, highest), abs=1e-9 * (1.0 + highest - lowest))
    assert max(highest, -lowest) <= bound


@settings(deadline=None)
@given(x=st.floats(0.0, 100.0), D=st.floats(0.01, 10.0))
def test_landing_inverts_the_ramp(x: float, D: float) -> None:
    shed = sum(max(x - k * D, 0.0) for k in range(int(x / D) + 2))
    assert landing(shed, D) == pytest.approx(x, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("ratio", [0.5, 1.5, 4.0, 25.0])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_speed_limit_is_reached_and_never_exceeded_however_soft_the_jerk(ratio: float, sign: float) -> None:
    V, A, q, w, b = 6e-3, 4e-5, 0.0, 0.0, 0.0
    D, fastest, bits = A / ratio, 0.0, 0
    for _ in range(600):
        q_next, cut = limit_step(q, w, b, q + sign * 2.0 * V, -9.0, 9.0, V, A, D, 0.0, 0.0)
        w_next = q_next - q
        q, w, b, bits = q_next, w_next, w_next - w, bits | cut
        fastest = max(fastest, abs(w))
    assert fastest == pytest.approx(V, rel=1e-9)
    assert fastest <= V * (1.0 + 1e-9)
    assert sign * w == pytest.approx(V, rel=1e-9)
    assert bits & guards.LIMITED_VELOCITY
    assert bits & guards.LIMITED_ACCELERATION


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_step_at_the_very_limit_of_speed_is_not_limited(sign: float) -> None:
    assert limit_step(0.0, sign * 0.5, 0.0, sign * 0.5, -1e3, 1e3, 0.5, 0.25, 0.125, 0.0, 0.0) == (sign * 0.5, 0)


def test_a_joint_that_slows_down_already_needs_no_more_room_than_one_that_does_not() -> None:
    figures = (0.25, 0.125, 0.1, 4.0)
    assert taper_room(0.5, -0.9, *figures) == taper_room(0.5, 0.0, *figures) > 0.0


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(("b", "x"), [(0.0, 0.125), (0.25, 0.125), (0.125, 0.25)])
def test_a_step_at_the_very_limit_of_jerk_or_acceleration_is_not_limited(b: float, x: float, sign: float) -> None:
    assert limit_step(0.0, 0.0, sign * b, sign * x, -1e3, 1e3, 9.0, 0.25, 0.125, 0.0, 0.0) == (sign * x, 0)


def test_the_greatest_allowed_step_is_found_to_a_share_of_two_to_the_24th() -> None:
    """Of the way from the joint's own stop to what was asked; not nearer either, for each halving costs time."""
    rng, A, D, gaps = np.random.default_rng(3), 1.0, 0.5, []
    while len(gaps) < 60:
        w, b = rng.uniform(1.0, 5.0), rng.uniform(-0.2, 0.2)
        good = stop_step(w, b, A, D)
        edge = w + good + stop_extent(w + good, good, A, D)[1] + rng.uniform(0.0, 3.0)
        q_next, bits = limit_step(0.0, w, b, w + b + D, -1e3, edge, 99.0, A, D, 0.0, 0.0)
        if bits != guards.LIMITED_POSITION:
            continue
        low, high = good, b + D
        for _ in range(50):
            x = 0.5 * (low + high)
            low, high = (x, high) if w + x + stop_extent(w + x, x, A, D)[1] <= edge else (low, x)
        gaps.append((low - (q_next - w)) / (b + D - good) * 2.0**24)
    assert min(gaps) > -0.01
    assert 0.75 < max(gaps) < 1.01


@pytest.mark.parametrize("A", [0.1, 0.3, 0.7])
def test_a_speed_of_many_decelerations_ends_where_its_steps_end(A: float) -> None:
    """Where full deceleration is there at once, rounding must not leave a speed below none."""
    for k in range(1, 60):
        w = p = 0.0
        for _ in range(k):
            w += A
            p += w - A
        down, up = stop_extent(w, -A, A, 2.0 * A)
        assert (down, up) == pytest.approx((0.0, p), abs=1e-9 * k * k)


def test_an_arm_at_rest_leaves_the_taper_no_room() -> None:
    assert taper_room(0.0, 0.0, 4e-5, 1e-5, 1e-3, 1e4) == 0.0
    assert taper_room(1e-9, 0.0, 4e-5, 1e-5, 1e-3, 1e4) > 0.0


def test_what_holds_to_one_side_holds_to_the_other() -> None:
    """A joint mirrored, limits and all, goes the mirrored way bit for bit; also near a limit, with a taper."""
    rng, A, D, seen = np.random.default_rng(8), 4e-5, 1e-5, 0
    for k in range(400):
        w, b = rng.uniform(-6e-3, 6e-3), rng.choice([0.0, rng.uniform(-A, A)])
        taper = ((0.0, 0.0), (1e-3 + 2.5e-5, 1e4))[k % 2]
        stop = stop_step(w, b, A, D)
        ends = stop_extent(w + stop, stop, A, D)
        room = taper_room(abs(w + stop), math.copysign(1.0, w) * stop, A, D, *taper)
        low, high = (
            w + stop + ends[0] - room - rng.uniform(0.0, 1e-4),
            w + stop + ends[1] + room + rng.uniform(0.0, 1e-4),
        )
        q_d = w + b + rng.uniform(-2.0, 2.0) * D
        q_next, bits = limit_step(0.0, w, b, q_d, low, high, 6e-3, A, D, *taper)
        assert limit_step(0.0, -w, -b, -q_d, -high, -low, 6e-3, A, D, *taper) == (-q_next, bits)
        seen += bits == guards.LIMITED_POSITION
    assert seen > 50
