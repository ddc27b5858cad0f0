"""Group axioms and round trips of rotations and poses."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robostral.jit import kernel
from robostral.kinematics import se3
from robostral.kinematics.vector import sincos_kernel

laws = settings(max_examples=100, deadline=None)
axes = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 1e-3)
angles = st.one_of(st.floats(0, math.pi), st.sampled_from([0.0, 1e-12, 1e-8, 1e-4, math.pi - 1e-7, math.pi - 1e-12]))
rotvecs = st.builds(lambda axis, angle: np.array(axis) / np.linalg.norm(axis) * angle, axes, angles)
twists = st.builds(lambda v, w: np.concatenate([v, w]), st.tuples(*[st.floats(-2, 2)] * 3), rotvecs)


def call(kernel, value, shape, *more):
    out = np.full(shape, math.nan)
    kernel(np.ascontiguousarray(value), *more, out)
    return out


@kernel
def sincos(angle):
    return sincos_kernel(angle)


def exp(twist):
    return call(se3.exp_kernel, twist, (4, 4))


def assert_rotation(R):
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(R) == pytest.approx(1)


@laws
@given(rotvecs)
def test_all_forms_of_a_rotation_return_to_it(rotvec):
    R = call(se3.matrix_from_rotvec_kernel, rotvec, (3, 3))
    assert_rotation(R)
    quat = call(se3.quat_from_matrix_kernel, R, (4,))
    assert quat[0] >= 0
    np.testing.assert_allclose(call(se3.matrix_from_quat_kernel, -3.0 * quat, (3, 3)), R, atol=1e-14)
    rot6d = call(se3.rot6d_from_matrix_kernel, R, (6,))
    np.testing.assert_array_equal(rot6d, R.T[:2].ravel())
    np.testing.assert_allclose(call(se3.matrix_from_rot6d_kernel, 2.0 * rot6d, (3, 3)), R, atol=1e-14)
    back = call(se3.rotvec_kernel, R, (3,))
    assert np.linalg.norm(back) <= math.pi + 1e-12
    np.testing.assert_allclose(call(se3.matrix_from_rotvec_kernel, back, (3, 3)), R, atol=1e-12)
    if np.linalg.norm(rotvec) < math.pi - 1e-6:
        np.testing.assert_allclose(back, rotvec, atol=1e-9)


@laws
@given(twists)
def test_log_undoes_exp(twist):
    T = exp(twist)
    assert_rotation(T[:3, :3])
    np.testing.assert_allclose(exp(call(se3.log_kernel, T, (6,))), T, atol=1e-9)


@laws
@given(twists)
def test_exp_of_halves_compose(twist):
    np.testing.assert_allclose(exp(twist / 2) @ exp(twist / 2), exp(twist), atol=1e-12)


@laws
@given(twists, twists, twists)
def test_group_axioms(a, b, c):
    A, B, C = exp(a), exp(b), exp(c)

    def product(X, Y):
        out = np.empty((4, 4))
        se3.compose_kernel(X, Y, out)
        return out

    np.testing.assert_allclose(product(product(A, B), C), product(A, product(B, C)), atol=1e-12)
    np.testing.assert_allclose(product(A, np.eye(4)), A, atol=0)
    inverse = call(se3.inverse_kernel, A, (4, 4))
    np.testing.assert_allclose(product(A, inverse), np.eye(4), atol=1e-12)


@laws
@given(twists, twists)
def test_adjoint_carries_twists_between_frames(a, b):
    T = exp(a)
    Ad = call(se3.adjoint_kernel, T, (6, 6))
    np.testing.assert_allclose(exp(Ad @ b), T @ exp(b) @ np.linalg.inv(T), atol=1e-11)


@laws
@given(twists, twists, st.floats(0, 1))
def test_interpolation_starts_and_ends_right_and_turns_evenly(a, b, s):
    A, B = exp(a), exp(b)
    np.testing.assert_allclose(call(se3.interpolate_kernel, A, (4, 4), B, 0.0), A, atol=1e-12)
    np.testing.assert_allclose(call(se3.interpolate_kernel, A, (4, 4), B, 1.0), B, atol=1e-9)
    at = call(se3.interpolate_kernel, A, (4, 4), B, s)
    whole = np.linalg.norm(call(se3.rotvec_kernel, A[:3, :3].T @ B[:3, :3], (3,)))
    part = np.linalg.norm(call(se3.rotvec_kernel, A[:3, :3].T @ at[:3, :3], (3,)))
    assert part == pytest.approx(s * whole, abs=1e-7)
    np.testing.assert_allclose(at[:3, 3], (1 - s) * A[:3, 3] + s * B[:3, 3], atol=1e-12)


@given(st.floats(-1e6, 1e6))
def test_sine_and_cosine_are_those_of_the_library(angle):
    sine, cosine = sincos(angle)
    assert sine == pytest.approx(math.sin(angle), abs=3e-16)
    assert cosine == pytest.approx(math.cos(angle), abs=3e-16)


@pytest.mark.parametrize("angle", [math.nan, math.inf, -math.inf, 1e9, 1e308])
def test_sine_of_no_angle_is_nan(angle):
    assert all(math.isnan(value) for value in sincos(angle))
