"""Signed distances: equal to a brute search over points, with the gradient of a finite difference."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from robostral.arm import load_arm
from robostral.arm.chain import transform
from robostral.jit import kernel
from robostral.kinematics import InvalidArray, InvalidTransform, NotFinite, closest
from robostral.kinematics.distance import (
    DISTANCE,
    NORMAL,
    POINT_A,
    POINT_B,
    Distances,
    box,
    capsule,
    plane,
    sphere,
)

laws = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**32 - 1)
T_BOX = transform((0.6, 0.2, 0.3), (0.3, -0.2, 0.8))
CELL = (
    plane((0, 0, 1), -0.02),
    sphere((0.5, -0.4, 0.5), 0.1),
    capsule((0.4, 0.4, 0), (0.4, 0.4, 0.8), 0.05),
    box(T_BOX, (0.2, 0.1, 0.3)),
)


@kernel
def segment_segment(p, u, s, v):
    return closest.segment_segment(p, u, s, v)


@kernel
def segment_box(p, u, half):
    return closest.segment_box(p, u, half)


@kernel
def segment_plane(p, u, normal, offset):
    return closest.segment_plane(p, u, normal, offset)


def vectors(seed, count, spread=1.0):
    return [tuple(row) for row in np.random.default_rng(seed).uniform(-spread, spread, (count, 3)).tolist()]


def along(p, u, steps=400):
    return np.array(p) + np.linspace(0, 1, steps)[:, None] * np.array(u)


@laws
@given(seeds)
def test_segments_are_as_close_as_their_closest_points(seed):
    p, u, s, v = vectors(seed, 4)
    distance, n, x, y = segment_segment(p, u, s, v)
    brute = np.linalg.norm(along(p, u)[:, None] - along(s, v)[None], axis=2).min()
    assert distance <= brute + 1e-12
    assert distance == pytest.approx(brute, abs=5e-3)
    np.testing.assert_allclose(np.subtract(x, y), distance * np.array(n), atol=1e-12)


@pytest.mark.parametrize(
    ("p", "u", "s", "v", "expected"),
    [
        ((0, 0, 0), (0, 0, 0), (1, 2, 2), (0, 0, 0), 3.0),  # two points
        ((0, 0, 0), (1, 0, 0), (0.5, 0, 1), (0, 0, 0), 1.0),  # a segment and a point
        ((0, 0, 0), (1, 0, 0), (0.2, 1, 0), (1, 0, 0), 1.0),  # parallel
        ((0, 0, 0), (1, 0, 0), (2, 0, 0), (1, 0, 0), 1.0),  # on one line
        ((0, 0, 0), (1, 0, 0), (0.5, -1, 0), (0, 2, 0), 0.0),  # crossing
    ],
)
def test_degenerate_segments(p, u, s, v, expected):
    as_floats = [tuple(float(value) for value in vector) for vector in (p, u, s, v)]
    distance, n, _, _ = segment_segment(*as_floats)
    assert distance == pytest.approx(expected, abs=1e-12)
    assert np.linalg.norm(n) == pytest.approx(1)


@laws
@given(seeds)
def test_a_box_is_as_close_as_its_closest_point_and_as_deep_as_the_deepest(seed):
    p, u = vectors(seed, 2)
    half = tuple(np.random.default_rng(seed + 1).uniform(0.05, 0.6, 3).tolist())
    distance, n, x, y = segment_box(p, u, half)
    points = along(p, u, 4000)
    over = np.abs(points) - half
    outside = np.linalg.norm(np.maximum(over, 0), axis=1)
    brute = np.where(outside > 0, outside, over.max(axis=1)).min()
    assert distance <= brute + 1e-12
    assert distance == pytest.approx(brute, abs=2e-3)
    np.testing.assert_allclose(np.subtract(x, y), distance * np.array(n), atol=1e-12)
    assert np.linalg.norm(n) == pytest.approx(1)


@laws
@given(seeds)
def test_a_plane_measures_the_deepest_end(seed):
    p, u = vectors(seed, 2)
    distance, _, x, y = segment_plane(p, u, (0.0, 0.6, 0.8), 0.1)
    ends = np.array([p, np.add(p, u)]) @ (0.0, 0.6, 0.8) - 0.1
    assert distance == pytest.approx(ends.min(), abs=1e-12)
    assert np.dot(y, (0.0, 0.6, 0.8)) == pytest.approx(0.1)
    assert np.linalg.norm(np.subtract(x, y)) == pytest.approx(abs(distance))


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["panda", "ur5e", "iiwa14"]), seeds)
@example("panda", 36807323)  # a hand inside the box
def test_gradient_is_the_finite_difference(name, seed):
    arm = load_arm(name)
    distances = Distances(arm, CELL)
    q = np.random.default_rng(seed).uniform(-1.5, 1.5, arm.chain.n)
    # With its axis inside a box a capsule has two ways out that are equally far; the derivative is neither's.
    axis_outside = distances.compute(q) > -arm.capsules.array[distances.checks[:, 0], 6]
    gradients = np.array([distances.gradient(check) for check in range(len(distances.checks))])
    sides = []
    h = 1e-6
    for i in range(arm.chain.n):
        step = h * np.eye(arm.chain.n)[i]
        ahead, here = distances.compute(q + step).copy(), distances.compute(q).copy()
        behind = distances.compute(q - step).copy()
        sides.append(((ahead - here) / h, (here - behind) / h))
    forward, backward = (np.array(side).T for side in zip(*sides, strict=True))
    smooth = axis_outside & (
        np.abs(forward - backward).max(axis=1) < 1e-4
    )  # a distance has kinks where the witness points jump
    assert smooth.mean() > 0.8
    np.testing.assert_allclose(gradients[smooth], ((forward + backward) / 2)[smooth], atol=1e-4)


def test_witness_points_lie_on_both_surfaces():
    distances = Distances(load_arm("ur5e"), CELL)
    distances.compute(load_arm("ur5e").home)
    rows = distances.results
    gap = rows[:, POINT_A : POINT_A + 3] - rows[:, POINT_B : POINT_B + 3]
    np.testing.assert_allclose(gap, rows[:, [DISTANCE]] * rows[:, NORMAL : NORMAL + 3], atol=1e-12)


def test_a_folded_arm_collides_with_itself_and_the_floor_with_a_low_one():
    arm = load_arm("ur5e")
    distances = Distances(arm, CELL[:1])
    values = distances.compute(np.array([0.0, -1.57, 3.1, 0.0, 0.0, 0.0]))
    assert values[: len(arm.capsules.pairs)].min() < 0
    values = distances.compute(np.array([0.0, 0.3, 0.0, 0.0, 0.0, 0.0]))
    assert values[len(arm.capsules.pairs) :].min() < 0
    assert any(name.endswith("plane 0") for name in distances.names)


def test_shapes_refuse_what_is_none():
    with pytest.raises(NotFinite):
        sphere((0, 0, math.nan), 0.1)
    with pytest.raises(NotFinite):
        sphere((0, 0, 0), math.inf)
    with pytest.raises(InvalidTransform):
        box(2 * np.eye(4), (1, 1, 1))
    with pytest.raises(InvalidArray, match="normal is zero"):
        plane((0, 0, 0), 1.0)
    with pytest.raises(NotFinite, match="'elbow_joint' = nan"):
        Distances(load_arm("ur5e")).compute([0, 0, math.nan, 0, 0, 0])
