"""Laws of kinematics and dynamics, on every kind of arm: right-angled, general, with a sliding joint."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robostral.arm import load_arm
from robostral.arm.arm import build_arm
from robostral.arm.table import Joint, Origin
from robostral.kinematics import (
    InvalidArray,
    JointOutOfLimit,
    NotFinite,
    aba,
    condition,
    crba,
    fk,
    gravity,
    jacobian,
    regressor,
    rnea,
    workspace,
)
from robostral.kinematics.codes import BAD_SHAPE, NOT_FINITE, OK
from robostral.kinematics.regressor import parameters


def sliding_arm():
    """Return the iiwa14 with joint 3 sliding along its axis."""
    import msgspec

    table = load_arm("iiwa14").table
    old = table.joints[2]
    joint = Joint(old.name, Origin(old.origin.xyz, (0.3, -0.7, 1.1)), old.link, old.source, "prismatic")
    return build_arm(msgspec.structs.replace(table, joints=(*table.joints[:2], joint, *table.joints[3:])))


ARMS = {"panda": load_arm("panda"), "ur5e": load_arm("ur5e"), "iiwa14": load_arm("iiwa14"), "sliding": sliding_arm()}
laws = settings(max_examples=25, deadline=None)
arms = st.sampled_from(sorted(ARMS))
seeds = st.integers(0, 2**32 - 1)


def state(name: str, seed: int, rows: int = 3) -> tuple[np.ndarray, ...]:
    return tuple(np.random.default_rng(seed).uniform(-2, 2, (rows, ARMS[name].chain.n)))


def log(R: np.ndarray) -> np.ndarray:
    return np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2


@laws
@given(arms, seeds)
def test_jacobian_is_the_central_difference_on_the_manifold(name, seed):
    chain = ARMS[name].chain
    (q,) = state(name, seed, 1)
    h = 1e-5
    for i in range(chain.n):
        step = h * np.eye(chain.n)[i]
        ahead, behind, T = fk.tcp(chain, q + step), fk.tcp(chain, q - step), fk.tcp(chain, q)
        aligned = np.concatenate([ahead[:3, 3] - behind[:3, 3], log(ahead[:3, :3] @ behind[:3, :3].T)]) / (2 * h)
        np.testing.assert_allclose(jacobian.jacobian(chain, q)[:, i], aligned, atol=1e-8)
        local = np.concatenate([T[:3, :3].T @ aligned[:3], T[:3, :3].T @ aligned[3:]])
        np.testing.assert_allclose(jacobian.jacobian(chain, q, "local")[:, i], local, atol=1e-8)
        world = np.concatenate([aligned[:3] - np.cross(aligned[3:], T[:3, 3]), aligned[3:]])
        np.testing.assert_allclose(jacobian.jacobian(chain, q, "world")[:, i], world, atol=1e-8)


@laws
@given(arms, seeds)
def test_forward_dynamics_undoes_inverse_dynamics(name, seed):
    chain = ARMS[name].chain
    q, dq, ddq = state(name, seed)
    np.testing.assert_allclose(aba.aba(chain, q, dq, rnea.rnea(chain, q, dq, ddq)), ddq, atol=1e-7)


@laws
@given(arms, seeds)
def test_inertia_matrix_gravity_and_velocity_terms_add_up_to_inverse_dynamics(name, seed):
    chain = ARMS[name].chain
    q, dq, ddq = state(name, seed)
    M = crba.crba(chain, q)
    np.testing.assert_allclose(M, M.T, atol=0)
    assert np.linalg.eigvalsh(M)[0] > 0
    zero = np.zeros(chain.n)
    np.testing.assert_allclose(gravity.gravity(chain, q), rnea.rnea(chain, q, zero, zero), atol=1e-10)
    bias = rnea.rnea(chain, q, dq, zero)
    np.testing.assert_allclose(M @ ddq + bias, rnea.rnea(chain, q, dq, ddq), atol=1e-9)


@laws
@given(arms, seeds)
def test_torques_are_linear_in_the_parameters(name, seed):
    chain = ARMS[name].chain
    q, dq, ddq = state(name, seed)
    Y, pi = regressor.regressor(chain, q, dq, ddq), parameters(chain)
    np.testing.assert_allclose(Y @ pi, rnea.rnea(chain, q, dq, ddq), atol=1e-10)
    np.testing.assert_allclose(Y @ (2.5 * pi), 2.5 * rnea.rnea(chain, q, dq, ddq), atol=1e-9)


@pytest.mark.parametrize("name", sorted(ARMS))
def test_energy_is_conserved_without_friction(name):
    chain = ARMS[name].chain.with_gravity((0.5, -1.0, -9.81))
    q, dq = state(name, 7, 2)
    power, dt = 0.0, 1e-3

    def acceleration(q: np.ndarray, dq: np.ndarray) -> np.ndarray:
        return aba.aba(chain, q, dq, np.zeros(chain.n))

    kinetic = [0.5 * dq @ crba.crba(chain, q) @ dq]
    for _ in range(100):  # Runge-Kutta; the work of gravity by Simpson's rule along the same steps
        k1v, k1 = dq, acceleration(q, dq)
        k2v, k2 = dq + dt / 2 * k1, acceleration(q + dt / 2 * k1v, dq + dt / 2 * k1)
        k3v, k3 = dq + dt / 2 * k2, acceleration(q + dt / 2 * k2v, dq + dt / 2 * k2)
        k4v, k4 = dq + dt * k3, acceleration(q + dt * k3v, dq + dt * k3)
        middle = q + dt / 2 * k2v
        new_q, new_dq = q + dt / 6 * (k1v + 2 * k2v + 2 * k3v + k4v), dq + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        rates = [gravity.gravity(chain, at) @ v for at, v in ((q, dq), (middle, (dq + new_dq) / 2), (new_q, new_dq))]
        power += dt / 6 * (rates[0] + 4 * rates[1] + rates[2])
        q, dq = new_q, new_dq
        kinetic.append(0.5 * dq @ crba.crba(chain, q) @ dq)
    assert np.ptp(kinetic) > 0.1
    assert kinetic[-1] + power == pytest.approx(kinetic[0], rel=1e-5)


@laws
@given(arms, seeds)
def test_condition_and_manipulability_are_those_of_the_singular_values(name, seed):
    chain = ARMS[name].chain
    (q,) = state(name, seed, 1)
    sigma = np.linalg.svd(jacobian.jacobian(chain, q))[1]
    assert condition.condition(chain, q) == pytest.approx(sigma[0] / sigma[-1], rel=1e-6)
    assert condition.manipulability(chain, q) == pytest.approx(np.prod(sigma), rel=1e-9)


def test_a_singular_wrist_has_infinite_condition_or_nearly_so():
    q = np.array([0.1, -1.2, 1.3, -0.5, 0.0, 0.3])
    assert condition.condition(ARMS["ur5e"].chain, q) > 1e12


@pytest.mark.parametrize("name", sorted(ARMS))
def test_batches_are_bit_identical_to_single_calls(name):
    chain = ARMS[name].chain
    Q, DQ, DDQ = np.random.default_rng(3).uniform(-2, 2, (3, 4, chain.n))
    single = {
        "tcp": (fk.tcp, (Q,)),
        "frames": (fk.frames, (Q,)),
        "jacobian": (jacobian.jacobian, (Q,)),
        "rnea": (rnea.rnea, (Q, DQ, DDQ)),
        "gravity": (gravity.gravity, (Q,)),
        "crba": (crba.crba, (Q,)),
        "aba": (aba.aba, (Q, DQ, DDQ)),
        "regressor": (regressor.regressor, (Q, DQ, DDQ)),
        "condition": (condition.condition, (Q,)),
    }
    for face, arrays in single.values():
        rows = np.array([face(chain, *row) for row in zip(*arrays, strict=True)])
        np.testing.assert_array_equal(face(chain, *arrays), rows)


FACES = {
    "tcp": lambda arm, q: fk.tcp(arm.chain, q, limits=arm.limits),
    "frames": lambda arm, q: fk.frames(arm.chain, q, limits=arm.limits),
    "jacobian": lambda arm, q: jacobian.jacobian(arm.chain, q, limits=arm.limits),
    "rnea": lambda arm, q: rnea.rnea(arm.chain, q, np.zeros(7), np.zeros(7), limits=arm.limits),
    "gravity": lambda arm, q: gravity.gravity(arm.chain, q, limits=arm.limits),
    "crba": lambda arm, q: crba.crba(arm.chain, q, limits=arm.limits),
    "aba": lambda arm, q: aba.aba(arm.chain, q, np.zeros(7), np.zeros(7), limits=arm.limits),
    "regressor": lambda arm, q: regressor.regressor(arm.chain, q, np.zeros(7), np.zeros(7), limits=arm.limits),
    "condition": lambda arm, q: condition.condition(arm.chain, q, limits=arm.limits),
    "manipulability": lambda arm, q: condition.manipulability(arm.chain, q, limits=arm.limits),
}


@pytest.mark.parametrize("face", sorted(FACES))
def test_faces_name_joint_value_and_bound(face):
    arm = ARMS["panda"]
    q = arm.home
    q[1] = 1.9
    with pytest.raises(JointOutOfLimit, match=r"joint 'joint2' = 1\.9 rad exceeds \[-1\.7628, 1\.7628\]") as caught:
        FACES[face](arm, q)
    assert (caught.value.joint, caught.value.value, caught.value.high) == ("joint2", 1.9, 1.7628)
    q[4] = math.nan
    with pytest.raises(NotFinite, match="q of joint 'joint5' = nan"):
        FACES[face](arm, q)
    for wrong, message in (
        (np.zeros(6), r"shape \(6,\), needs \(7,\) or \(m, 7\)"),
        (np.array(["a"] * 7), "needs real numbers"),
        (np.zeros(7, complex), "needs real numbers"),
        ([[0.0], [1.0, 2.0]], "ragged"),
    ):
        with pytest.raises(InvalidArray, match=message):
            FACES[face](arm, wrong)


def test_faces_take_lists_other_orders_and_other_floats():
    arm = ARMS["panda"]
    expected = fk.tcp(arm.chain, np.array([arm.home, arm.home]))
    np.testing.assert_array_equal(fk.tcp(arm.chain, np.asfortranarray([arm.home, arm.home])), expected)
    np.testing.assert_array_equal(fk.tcp(arm.chain, arm.home.tolist()), expected[0])
    np.testing.assert_allclose(fk.tcp(arm.chain, arm.home.astype(np.float32)), expected[0], atol=1e-6)


def test_batch_faces_name_the_row():
    arm = ARMS["panda"]
    Q = np.array([arm.home, arm.home])
    Q[1, 3] = math.inf
    with pytest.raises(NotFinite, match=r"'joint4' = inf \(row 1\)"):
        fk.tcp(arm.chain, Q)
    with pytest.raises(InvalidArray, match=r"dq has shape \(7,\), needs \(2, 7\) like q"):
        rnea.rnea(arm.chain, np.zeros((2, 7)), np.zeros(7), np.zeros((2, 7)))


def kernel_calls(n: int, q: np.ndarray):
    model, z, work = ARMS["panda"].chain.model, np.zeros(7), workspace(ARMS["panda"].chain)
    return {
        "tcp": (fk.tcp_kernel, (model, q, np.empty((4, 4)))),
        "frames": (fk.frames_kernel, (model, q, np.empty((9, 4, 4)))),
        "jacobian": (jacobian.jacobian_kernel, (model, q, np.empty((6, 7)))),
        "world": (jacobian.jacobian_world_kernel, (model, q, np.empty((6, 7)))),
        "local": (jacobian.jacobian_local_kernel, (model, q, np.empty((6, 7)))),
        "both": (jacobian.fk_jacobian_kernel, (model, q, np.empty((4, 4)), np.empty((6, 7)))),
        "rnea": (rnea.rnea_kernel, (model, q, z, z, work, np.empty(7))),
        "gravity": (gravity.gravity_kernel, (model, q, work, np.empty(7))),
        "crba": (crba.crba_kernel, (model, q, work, np.empty((7, 7)))),
        "aba": (aba.aba_kernel, (model, q, z, z, work, np.empty(7))),
        "regressor": (regressor.regressor_kernel, (model, q, z, z, work, np.empty((7, 70)))),
        "condition": (condition.condition_kernel, (model, q, np.empty((6, 7)), np.empty(8))),
    }


@pytest.mark.parametrize("name", sorted(kernel_calls(7, np.zeros(7))))
def test_kernels_return_codes_for_what_faces_raise(name):
    rng = np.random.default_rng(0)
    for at in range(7):
        for poison in (math.nan, math.inf, -math.inf, 1e308):
            q = rng.uniform(-1, 1, 7)
            q[at] = poison
            function, arguments = kernel_calls(7, q)[name]
            assert function(*arguments) == NOT_FINITE
    function, arguments = kernel_calls(7, np.zeros(6))[name]
    assert function(*arguments) == BAD_SHAPE
    function, arguments = kernel_calls(7, rng.uniform(-1, 1, 7))[name]
    assert function(*arguments) == OK
