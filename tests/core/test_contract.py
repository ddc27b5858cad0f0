"""The contract: its identity is the SHA-256 of stored bytes, it refuses what makes no sense, it names what differs."""

import hashlib
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_bundle import JOINTS, contract

from robostral.contract import Action, Contract, Device, Impedance, ObsField, Rate, Sealed, check_same, diff
from robostral.errors import ConfigError, ContractMismatch

GOLDEN = "56849f05fea9fc60d34b2cc3cacfdef64424d906c118e5b6f4c2c4a4d956f945"


def changed(**changes: object) -> Contract:
    return msgspec.structs.replace(contract(), **changes)


def test_identity_is_the_hash_of_the_stored_bytes():
    sealed = Sealed.seal(contract())
    assert sealed.identity == hashlib.sha256(sealed.raw).hexdigest()
    assert sealed.prefix == hashlib.sha256(sealed.raw).digest()[:8]
    assert Sealed.load(sealed.raw) == sealed


def test_identity_is_the_same_in_every_release():
    assert Sealed.seal(contract()).identity == GOLDEN


def test_stored_bytes_are_never_written_anew():
    raw = Sealed.seal(contract()).raw
    spaced = raw.replace(b"\n", b"\n ")
    assert Sealed.load(spaced).raw == spaced
    assert Sealed.load(spaced).contract == Sealed.load(raw).contract
    with pytest.raises(ContractMismatch, match="stored bytes only"):
        check_same(Sealed.load(spaced), Sealed.load(raw), "the loop", "the bundle")


def test_printing_shows_every_part():
    text = str(Sealed.seal(contract()))
    for word in ("tiny", *JOINTS, "25 Hz", "20 ms", "0:2", "q_c", "rad/s", "joint_position_delta", "3 steps", "-0.06"):
        assert word in text


def test_tools_posture_and_impedance_are_part_of_the_identity():
    plain, law = contract(), Impedance((800.0,) * 3 + (40.0,) * 3, (1.0,) * 6, 5.0)
    action = msgspec.structs.replace(plain.action, low=(*plain.action.low, 0.0), high=(*plain.action.high, 0.08))
    devices = (*plain.devices, Device("gripper", ("gap",), (1,)))
    held = changed(devices=devices, action=action)
    soft = changed(devices=devices, action=msgspec.structs.replace(action, impedance=law, posture=(0.1, 0.2)))
    assert held.tools == ("gap",)
    assert Sealed.load(Sealed.seal(soft).raw).contract == soft
    assert len({Sealed.seal(one).identity for one in (plain, held, soft)}) == 3
    assert "gap" in str(held)
    assert "800" in str(soft)
    with pytest.raises(ValueError, match="stiffness"):
        Impedance((1.0,) * 3, (1.0,) * 6, 0.0)


def test_diff_of_equal_contracts_is_empty():
    assert diff(contract(), contract()) == []
    check_same(Sealed.seal(contract()), Sealed.seal(contract()), "a", "b")


@pytest.mark.parametrize(
    ("other", "line"),
    [
        (changed(rate=Rate(50.0, 0.02)), "rate.policy_hz: 25 != 50"),
        (changed(task="reach"), "task: tiny != reach"),
        (
            changed(devices=(Device("arm", JOINTS[::-1], (1, 1)),)),
            "devices.arm.joints: [shoulder, elbow] != [elbow, shoulder]",
        ),
        (changed(devices=(Device("arm", JOINTS, (1, -1)),)), "devices.arm.signs: [1, 1] != [1, -1]"),
        (changed(obs=contract().obs[::-1]), "obs: order [q, dq, q_c] != [q_c, dq, q]"),
        (changed(obs=contract().obs[:2]), "obs.q_c: only on the first side"),
        (
            changed(obs=(*contract().obs, ObsField("wrench", (6,), "N, N·m", "tcp", "driver"))),
            "obs.wrench: only on the second side",
        ),
        (changed(action=msgspec.structs.replace(contract().action, frame="base")), "action.frame: joint != base"),
    ],
)  # fmt: skip
def test_diff_names_the_field_and_both_values(other, line):
    assert diff(contract(), other) == [line]
    with pytest.raises(ContractMismatch, match="contract of the server differs from the bundle in: ") as caught:
        check_same(Sealed.seal(contract()), Sealed.seal(other), "the server", "the bundle")
    assert caught.value.fields == (line,)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Device("arm", (), ()),
        lambda: Device("arm", ("a", "a"), (1, 1)),
        lambda: Device("arm", JOINTS, (1,)),
        lambda: ObsField("q", (0,), "rad", "joint", "driver"),
        lambda: ObsField("q", (1 << 20,), "rad", "joint", "driver"),
        lambda: ObsField("q", (2,), "rad", "joint", "driver", max_age_s=0.0),
        lambda: Action("joint_velocity", (0.0,), (1.0, 1.0), "rad/s", "joint", 1, 0.1, 0.1),
        lambda: Action("joint_velocity", (1.0,), (0.0,), "rad/s", "joint", 1, 0.1, 0.1),
        lambda: Action("joint_velocity", (-math.inf,), (1.0,), "rad/s", "joint", 1, 0.1, 0.1),
        lambda: Action("joint_velocity", (0.0,), (1.0,), "rad/s", "joint", 0, 0.1, 0.1),
        lambda: Action("joint_velocity", (0.0,), (1.0,), "rad/s", "joint", 2, 0.1, 0.21),
        lambda: Action("joint_velocity", (0.0,), (1.0,), "rad/s", "joint", 2, math.nan, 0.1),
        lambda: Rate(0.0, 0.02),
        lambda: changed(obs=()),
        lambda: changed(devices=()),
        lambda: changed(obs=contract().obs * 2),
    ],
)
def test_a_contract_without_sense_cannot_be_built(build):
    with pytest.raises(ValueError, match=r"\w+"):
        build()


@pytest.mark.parametrize(
    ("old", "new", "fact"),
    [
        (b'"robostral.contract/1"', b'"robostral.contract/9"', "contract/9"),
        (b'"task"', b'"tsak"', "tsak"),
        (b'"tiny"', b'"ti\\u001bny"', "task"),
        (b'"horizon": 3', b'"horizon": 3.5', "action.horizon"),
        (b'"horizon": 3', b'"horizon": 0', "horizon 0"),
        (b"25.0", b"NaN", "malformed"),
        (b"{", b"", ""),
    ],
)
def test_bytes_that_are_no_contract_are_refused_with_the_field(old, new, fact):
    raw = Sealed.seal(contract()).raw
    assert old in raw
    with pytest.raises(ConfigError, match=f"not a contract: .*{fact}"):
        Sealed.load(raw.replace(old, new, 1))


@given(st.binary(max_size=200))
def test_random_bytes_are_no_contract(raw):
    with pytest.raises(ConfigError):
        Sealed.load(raw)


def test_deep_nesting_is_refused():
    with pytest.raises(ConfigError):
        Sealed.load(b'{"task": ' + b"[" * 100_000)
