"""Laws of the identified arm's run-time half: friction, torque, external torque, and the bundle that holds it."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from robostral.arm import load_arm
from robostral.bundle.trust import generate
from robostral.errors import BundleRefused
from robostral.identified import (
    ArmLineage,
    IdentifiedArm,
    JointFriction,
    Parameters,
    Ranges,
    load_arm_bundle,
    write_arm,
)
from robostral.identified.friction import (
    COULOMB,
    FAMILIES,
    FEATURES,
    LOAD,
    RADII,
    STOPS,
    VISCOUS,
    family_mask,
    feature_kernel,
    new_state,
    stop_kernel,
)
from robostral.kinematics.rnea import rnea

ARM = load_arm("ur5e")
N = ARM.chain.n


def identified(threshold: float = 5.0) -> IdentifiedArm:
    weights = np.zeros(FEATURES)
    weights[[VISCOUS, COULOMB, LOAD, STOPS + 2]] = 1.0, 2.0, 0.05, 0.5
    joint = JointFriction("maxwell_load", tuple(weights.tolist()))
    row, wide = (0.1,) * N, ((-9.0,) * N, (9.0,) * N)
    contact = (threshold,) * N
    return IdentifiedArm(
        Parameters(ARM.table, row, (joint,) * N, row, row, contact, 2.0, 0.0, Ranges(q=wide, dq=wide, ddq=wide))
    )


def motion(seconds: float, hz: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    t = np.arange(0.0, seconds, 1.0 / hz)[:, None]
    w = 1.0 + 0.3 * np.arange(N)
    return ARM.home + 0.3 * (1 - np.cos(w * t)), 0.3 * w * np.sin(w * t), 0.3 * w**2 * np.cos(w * t)


def test_stop_operators_follow_displacement_until_their_radius_and_turn_back_at_once() -> None:
    state = new_state(1)[0]
    for q in np.linspace(0.0, 0.005, 50):
        stop_kernel(state, q)
    np.testing.assert_allclose(state[1:], np.minimum(0.005 / np.array(RADII), 1.0), atol=1e-12)
    before = state[1:].copy()
    stop_kernel(state, 0.005 - 0.0005)
    np.testing.assert_allclose(state[1:], before - 0.0005 / np.array(RADII), atol=1e-12)


def test_features_change_sign_with_motion_but_for_those_that_tell_directions_apart() -> None:
    state = new_state(1)[0]
    there, back = np.empty(FEATURES), np.empty(FEATURES)
    state[1:] = 0.3
    feature_kernel(state, 0.2, 4.0, there)
    state[1:] = -0.3
    feature_kernel(state, -0.2, 4.0, back)
    even = np.isin(np.arange(FEATURES), [0, 8, 9])
    np.testing.assert_allclose(there[~even], -back[~even])
    np.testing.assert_allclose(there[even], back[even])


def test_every_family_has_an_offset_viscous_and_coulomb_friction() -> None:
    assert all({0, 1, 2} <= set(np.flatnonzero(family_mask(family))) for family in FAMILIES)


def test_torque_is_rigid_body_and_rotor_and_friction() -> None:
    found = identified()
    q, dq, ddq = motion(1.0, 100.0)
    tau, friction = found.torque(q, dq, ddq)
    np.testing.assert_allclose(tau - friction, rnea(ARM.chain, q, dq, ddq) + 0.1 * ddq, atol=1e-9)
    assert np.abs(friction).max() > 2.0


def test_external_torque_is_zero_without_and_the_whole_of_it_with_a_contact() -> None:
    found = identified()
    q, dq, ddq = motion(4.0, 500.0)
    tau, _ = found.torque(q, dq, ddq)
    pushed = np.where(np.arange(len(q)) >= 1000, 8.0, 0.0)[:, None] * np.eye(N)[1]
    free, touched = found.external(0.002, q, dq, tau)
    assert (touched[250:] == -1.0).all()
    felt, touched = found.external(0.002, q, dq, tau - pushed)
    np.testing.assert_allclose((felt - free)[1400:], pushed[1400:], atol=0.05)
    first = np.flatnonzero(touched >= 0.0)[0]
    assert touched[first] == 1.0
    assert 0.002 * (first - 1000) < 0.1


def test_a_number_that_is_none_is_told() -> None:
    found = identified()
    q, dq, ddq = motion(0.1, 500.0)
    tau, _ = found.torque(q, dq, ddq)
    dq[10, 2] = np.nan
    assert found.external(0.002, q, dq, tau)[1][10] == -2.0


def test_inside_is_false_where_one_joint_leaves_the_range() -> None:
    q, dq, ddq = motion(0.1, 100.0)
    dq[3, 1] = 9.5
    assert identified().inside(q, dq, ddq).tolist() == [k != 3 for k in range(len(q))]


def bundle(folder: Path, key: Path | None = None) -> Path:
    lineage = ArmLineage(published="ur5e", logs={}, git_revision="none", seed=0)
    return write_arm(
        folder, identified(), name="ur5e-identified", version=1, lineage=lineage, nmse={}, card="x", private_key=key
    )


def test_bundle_comes_back_as_it_was_and_loads_as_an_arm(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "arm")
    assert load_arm_bundle(folder).parameters == identified().parameters
    np.testing.assert_array_equal(load_arm(str(folder)).chain.model, ARM.chain.model)


def test_real_plant_takes_only_what_a_trusted_key_signed(tmp_path: Path) -> None:
    private, public = generate("owner", tmp_path / "keys")
    (tmp_path / "trust").mkdir()
    public.rename(tmp_path / "trust" / "owner.pub")
    with pytest.raises(BundleRefused, match="not signed"):
        load_arm_bundle(bundle(tmp_path / "a"), plant="real", trusted_keys=tmp_path / "trust")
    signed = bundle(tmp_path / "a", private)
    load_arm_bundle(signed, plant="real", trusted_keys=tmp_path / "trust")
    raw = (signed / "arm.json").read_bytes()
    (signed / "arm.json").write_bytes(raw.replace(b"0.05", b"0.06", 1))
    with pytest.raises(BundleRefused, match="not the one that the manifest lists"):
        load_arm_bundle(signed, plant="real", trusted_keys=tmp_path / "trust")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rotor": [0.1]}, "a row has not 6 joints"),
        ({"contact": [0.0] * N}, "not positive"),
        ({"torque_lag_s": 1.5}, "torque lag 1.5 s outside"),
        ({"what": 1}, "unknown field"),
    ],
)
def test_bundle_that_contradicts_itself_is_refused(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    import hashlib

    folder = bundle(tmp_path / "arm")
    raw = msgspec.json.encode(json.loads((folder / "arm.json").read_bytes()) | change)
    (folder / "arm.json").write_bytes(raw)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"]["arm.json"] = {"sha256": hashlib.sha256(raw).hexdigest(), "size": len(raw)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleRefused, match=reason):
        load_arm_bundle(folder)
