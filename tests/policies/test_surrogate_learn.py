"""The image of a step in a mirror is a step, and is seen and told as the fit has it."""

import numpy as np
import pytest
from robostral_policies.surrogate.learn import mirrors
from robostral_sims import learned
from robostral_sims.scene import Jaw
from robostral_sims.watch import contract_of, hand

from robostral.kinematics.se3 import matrix_from_quat_kernel, matrix_from_rotvec_kernel, quat_from_matrix_kernel

PART = np.array([0.025, 0.02, 0.024, 0.0, 0.3, 1.8, 0.15, 0.0])


def turned(rotvec: np.ndarray) -> np.ndarray:
    R = np.empty((3, 3))
    matrix_from_rotvec_kernel(rotvec, R)
    return R


def step(T, T_after, V, part, part_after):
    seen, told = np.zeros(learned.SEEN, np.float32), np.zeros(learned.TOLD, np.float32)
    tool, tool_after = np.array([0.05, -0.1]), np.array([0.03, 0.02])
    learned.see_kernel(T, T_after, V, part, PART, hand(Jaw()), tool, 0.03, 0.04, 0.04, seen)
    learned.tell_kernel(T, part, tool, part_after, tool_after, told)
    return seen, told


def image(S, body):
    """Mirror a part: position and velocity are arrows, its spin turns the other way; its z axis may point anywhere."""
    R, quat = np.empty((3, 3)), np.empty(4)
    matrix_from_quat_kernel(body[3:7].copy(), R)
    quat_from_matrix_kernel(np.ascontiguousarray(S @ R @ np.diag([1.0, 1.0, np.linalg.det(S)])), quat)
    return np.concatenate([S @ body[:3], quat, S @ body[7:10], np.linalg.det(S) * S @ body[10:13]])


@pytest.mark.parametrize(("x", "y"), [(1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)])
def test_the_image_of_a_step_is_a_step(x: float, y: float) -> None:
    rng = np.random.default_rng(3)
    S = np.diag([x, y, 1.0])
    which = next(one for one in mirrors(contract_of(Jaw(), 0.04)) if tuple(one.seen[:6]) == (x, y, 1.0, x, y, 1.0))
    for _ in range(20):
        lean = rng.normal(size=3) * 0.2 * np.array([1.0, 1.0, 0.0])
        T, T_after, V = np.eye(4), np.eye(4), rng.normal(size=6)
        T[:3, :3] = turned(lean) @ np.diag([1.0, -1.0, -1.0])
        F = np.empty((3, 3))
        learned.frame_kernel(T, F)
        T[:3, :3] = F.T @ T[:3, :3]  # so that the step's own frame is `world`'s
        T_after[:3, :3], T_after[:3, 3] = turned(rng.normal(size=3) * 0.1) @ T[:3, :3], rng.normal(size=3) * 0.01
        quats = np.empty((2, 4))
        for quat in quats:
            quat_from_matrix_kernel(turned(rng.normal(size=3)), quat)
        part, after = (np.concatenate([rng.normal(size=3) * 0.02, quat, rng.normal(size=6)]) for quat in quats)
        quat_from_matrix_kernel(np.eye(3), after[3:7])
        quat_from_matrix_kernel(turned(rng.normal(size=3) * 0.1), part[3:7])
        seen, told = step(T, T_after, V, part, after)
        fold = np.diag([x, y, 1.0])  # the hand is its own image: its axes may point the other way
        T_image, after_image = (np.eye(4) for _ in range(2))
        for into, of in ((T_image, T), (after_image, T_after)):
            into[:3, :3], into[:3, 3] = S @ of[:3, :3] @ fold, S @ of[:3, 3]
        V_image = np.concatenate([V[:3] @ S, np.linalg.det(S) * V[3:] @ S])
        seen_there, told_there = step(T_image, after_image, V_image, image(S, part), image(S, after))
        np.testing.assert_allclose(seen[which.order] * which.seen, seen_there, atol=2e-5)
        np.testing.assert_allclose(told * which.told, told_there, atol=2e-5)


def test_there_are_sixteen_images_and_the_first_is_the_step_itself() -> None:
    images = mirrors(contract_of(Jaw(), 0.04))
    assert len(images) == 16
    assert (images[0].order == np.arange(learned.SEEN)).all()
    assert (images[0].seen == 1.0).all()
    assert (images[0].told == 1.0).all()
