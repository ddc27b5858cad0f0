"""What is told of a step is what happens again, wherever the cell stands; what nothing can touch does not move."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from robostral_sims import learned
from robostral_sims.learned import clearance_kernel, happen_kernel, see_kernel, tell_kernel
from robostral_sims.scene import Jaw
from robostral_sims.watch import hand

from robostral.kinematics.se3 import matrix_from_rotvec_kernel, quat_from_matrix_kernel

HAND, HALF = hand(Jaw()), np.array([0.02, 0.02, 0.03, 0.0, 0.3, 1.8, 0.15, 0.0])
OPENING = Jaw().opening


def pose(rng: np.random.Generator, spread: float) -> np.ndarray:
    T = np.eye(4)
    down = np.diag([1.0, -1.0, -1.0])
    turn = np.empty((3, 3))
    matrix_from_rotvec_kernel(rng.normal(size=3) * spread, turn)
    T[:3, :3], T[:3, 3] = turn @ down, np.array([0.5, 0.0, 0.1]) + rng.uniform(-0.05, 0.05, 3)
    return T


def body(rng: np.random.Generator, at: np.ndarray) -> np.ndarray:
    R, quat = np.empty((3, 3)), np.empty(4)
    matrix_from_rotvec_kernel(rng.normal(size=3), R)
    quat_from_matrix_kernel(R, quat)
    return np.concatenate([at + rng.normal(size=3) * 0.02, quat, rng.normal(size=6)])


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_what_is_told_happens_again(seed: int) -> None:
    rng = np.random.default_rng(seed)
    T = pose(rng, 0.3)
    part, after = body(rng, T[:3, 3]), body(rng, T[:3, 3])
    tool, tool_after = np.array([0.05, -0.1]), np.array([0.03, 0.0])
    said = np.zeros(learned.SAID, np.float32)
    tell_kernel(T, part, tool, after, tool_after, said[: learned.TOLD])
    seen = np.zeros(learned.SEEN, np.float32)
    assert happen_kernel(T, seen, OPENING, 0.04, said, part, tool)
    part[3:7] *= np.sign(part[3:7] @ after[3:7])
    np.testing.assert_allclose(part, after, atol=2e-6)
    np.testing.assert_allclose(tool, tool_after, atol=1e-7)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(-3.0, 3.0))
def test_a_turned_and_lifted_cell_is_seen_alike(seed: int, yaw: float) -> None:
    rng = np.random.default_rng(seed)
    T, T_after, V = pose(rng, 0.3), pose(rng, 0.3), rng.normal(size=6)
    part, tool, lifted = body(rng, T[:3, 3]), np.array([0.05, -0.1]), HALF + 0.1 * np.eye(8)[learned.FLOOR]
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    turn[:3, 3] = 0.3, -0.2, 0.1
    V_turned = (V.reshape(2, 3) @ turn[:3, :3].T).ravel()
    turned, R, quat = part.copy(), np.empty((3, 3)), np.empty(4)
    learned.matrix_from_quat_kernel(part[3:7], R)
    quat_from_matrix_kernel(turn[:3, :3] @ R, quat)
    turned[:3], turned[3:7] = turn[:3, :3] @ part[:3] + turn[:3, 3], quat
    turned[7:10], turned[10:13] = turn[:3, :3] @ part[7:10], turn[:3, :3] @ part[10:13]
    seen, again = np.zeros((2, learned.SEEN), np.float32)
    see_kernel(T, T_after, V, part, HALF, HAND, tool, 0.03, 0.04, 0.04, seen)
    see_kernel(turn @ T, turn @ T_after, V_turned, turned, lifted, HAND, tool, 0.03, 0.04, 0.04, again)
    np.testing.assert_allclose(again, seen, atol=1e-5)


def test_a_carried_part_is_seen_to_move_with_the_tcp() -> None:
    rng = np.random.default_rng(1)
    T, T_after = pose(rng, 0.3), pose(rng, 0.3)
    part, tool = body(rng, T[:3, 3]), np.array([0.04, 0.0])
    held = np.linalg.inv(T) @ np.append(part[:3], 1.0)
    after = part.copy()
    after[:3] = (T_after @ held)[:3]
    seen, said = np.zeros(learned.SEEN, np.float32), np.zeros(learned.SAID, np.float32)
    V = rng.normal(size=6)
    see_kernel(T, T_after, V, part, HALF, HAND, tool, 0.03, 0.04, 0.04, seen)
    F = np.empty((3, 3))
    learned.frame_kernel(T, F)
    v = V[:3] + np.cross(V[3:], after[:3] - T_after[:3, 3])
    carried = seen[learned.CARRIED_V : learned.CARRIED_V + 6]
    np.testing.assert_allclose(carried, np.concatenate([v @ F, V[3:] @ F]), atol=1e-5)
    tell_kernel(T, part, tool, after, tool, said[: learned.TOLD])
    np.testing.assert_allclose(seen[learned.CARRIED : learned.CARRIED + 3], said[:3], atol=1e-6)


def test_what_nothing_can_touch_stays_exactly() -> None:
    T = np.eye(4)
    T[:3, :3] = np.diag([1.0, -1.0, -1.0])
    said, seen = np.full(learned.SAID, 0.01, np.float32), np.zeros(learned.SEEN, np.float32)
    at = np.array([0.5, 0.0, 0.03, 1.0, 0.0, 0.0, 0.0, *np.zeros(6)])
    falling = at.copy()
    falling[9] = -0.5
    # beside it, astride it with 5 mm of room, over it; one finger in it, the tips on it; out of reach, but it falls
    cases = [((0.3, 0.0, 0.02), at, False), ((0.5, 0.0, 0.03), at, False), ((0.5, 0.0, 0.08), at, False)]
    cases += [((0.5, 0.015, 0.03), at, True), ((0.5, 0.03, 0.0699), at, True), ((0.3, 0.0, 0.02), falling, True)]
    for p, start, free in cases:
        T[:3, 3] = p
        part, tool = start.copy(), np.array([0.05, 0.0])
        see_kernel(T, T, np.zeros(6), part, HALF, HAND, tool, 0.05, 0.05, 0.04, seen)
        assert happen_kernel(T, seen, OPENING, 0.04, said, part, tool) is free, p
        assert np.array_equal(part, start) is not free, p


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_a_clearance_is_what_a_part_has_to_give_way(seed: int, cylinder: bool) -> None:
    """Moved out along the direction by what it is in, or in by what it is out: it just touches."""
    rng = np.random.default_rng(seed)
    T, part, half = pose(rng, 0.5), body(rng, np.zeros(3)), np.array([*HALF[:3], float(cylinder)])
    p, R, out = T[:3, 3] + rng.normal(size=3) * 0.04, np.empty((3, 3)), np.empty(4)
    learned.matrix_from_quat_kernel(part[3:7], R)
    clearance_kernel(T, 0.0, 0.0, HAND[0], p, R, half, out)
    first = out.copy()
    clearance_kernel(T, 0.0, 0.0, HAND[0], p - (first[0] - 1e-4) * first[1:], R, half, out)
    assert out[0] > 0.0
    inside = rng.uniform(-1.0, 1.0, (2000, 3)) * half[:3]
    inside = inside[np.hypot(inside[:, 0], inside[:, 1]) <= half[0]] if cylinder else inside
    local = (p - first[0] * first[1:] + inside @ R.T - T[:3, 3]) @ T[:3, :3]
    assert (np.abs(local) - HAND[0, :3]).max(axis=1).min() > -1e-9
