"""What is told of a step is what happens again, wherever the cell stands; what nothing can touch does not move."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from robostral_sims import learned
from robostral_sims.learned import happen_kernel, see_kernel, tell_kernel

from robostral.kinematics.se3 import matrix_from_rotvec_kernel, quat_from_matrix_kernel

GRIPPER, HALF = np.array([0.08, 0.07, 0.01]), np.array([0.02, 0.02, 0.03, 0.0])


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
    T, T_after = pose(rng, 0.3), pose(rng, 0.3)
    part, after = body(rng, T[:3, 3]), body(rng, T[:3, 3])
    tool, tool_after = np.array([0.05, -0.1]), np.array([0.03, 0.0])
    said = np.zeros(learned.SAID, np.float32)
    tell_kernel(T, part, tool, after, tool_after, said[: learned.TOLD])
    assert happen_kernel(T, T_after, HALF, GRIPPER, said, part, tool)
    part[3:7] *= np.sign(part[3:7] @ after[3:7])
    np.testing.assert_allclose(part, after, atol=2e-6)
    np.testing.assert_allclose(tool, tool_after, atol=1e-7)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(-3.0, 3.0))
def test_a_turned_cell_is_seen_alike(seed: int, yaw: float) -> None:
    rng = np.random.default_rng(seed)
    T, T_after = pose(rng, 0.3), pose(rng, 0.3)
    part, tool = body(rng, T[:3, 3]), np.array([0.05, -0.1])
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    turned, R, quat = part.copy(), np.empty((3, 3)), np.empty(4)
    learned.matrix_from_quat_kernel(part[3:7], R)
    quat_from_matrix_kernel(turn[:3, :3] @ R, quat)
    turned[:3], turned[3:7] = turn[:3, :3] @ part[:3], quat
    turned[7:10], turned[10:13] = turn[:3, :3] @ part[7:10], turn[:3, :3] @ part[10:13]
    seen, again = np.zeros((2, learned.SEEN), np.float32)
    see_kernel(T, T_after, part, HALF, tool, 0.03, 0.04, 0.04, seen)
    see_kernel(turn @ T, turn @ T_after, turned, HALF, tool, 0.03, 0.04, 0.04, again)
    np.testing.assert_allclose(again, seen, atol=1e-5)


def test_a_carried_part_is_seen_to_move_with_the_tcp() -> None:
    rng = np.random.default_rng(1)
    T, T_after = pose(rng, 0.3), pose(rng, 0.3)
    part, tool = body(rng, T[:3, 3]), np.array([0.04, 0.0])
    held = np.linalg.inv(T) @ np.append(part[:3], 1.0)
    after = part.copy()
    after[:3] = (T_after @ held)[:3]
    seen, said = np.zeros(learned.SEEN, np.float32), np.zeros(learned.SAID, np.float32)
    see_kernel(T, T_after, part, HALF, tool, 0.03, 0.04, 0.04, seen)
    tell_kernel(T, part, tool, after, tool, said[: learned.TOLD])
    np.testing.assert_allclose(seen[learned.CARRIED : learned.CARRIED + 3], said[:3], atol=1e-6)


def test_what_nothing_can_touch_stays_exactly() -> None:
    T = np.eye(4)
    T[:3, :3] = np.diag([1.0, -1.0, -1.0])
    far, over, near = T.copy(), T.copy(), T.copy()
    far[:3, 3], over[:3, 3], near[:3, 3] = [0.3, 0.0, 0.02], [0.5, 0.0, 0.09], [0.5, 0.0, 0.04]
    said = np.full(learned.SAID, 0.01, np.float32)
    at = np.array([0.5, 0.0, 0.03, 1.0, 0.0, 0.0, 0.0, *np.zeros(6)])
    for away in (far, over):
        part, tool = at.copy(), np.array([0.05, 0.0])
        assert not happen_kernel(away, away, HALF, GRIPPER, said, part, tool)
        np.testing.assert_array_equal(part, at)
    part = at.copy()
    assert happen_kernel(far, near, HALF, GRIPPER, said, part, np.array([0.05, 0.0]))
    falling = at.copy()
    falling[9] = -0.5
    assert happen_kernel(far, far, HALF, GRIPPER, said, falling, np.array([0.05, 0.0]))
