"""URDF in and out: what is written is read back as the same arm; what cannot be trusted is named."""

from pathlib import Path

import numpy as np
import pytest

from robostral.arm import arm_names, load_arm
from robostral.arm.chain import transform
from robostral.arm.urdf_check import check_urdf
from robostral.errors import ConfigError
from robostral.kinematics import fk, rnea

INERTIA = '<inertial><mass value="{m}"/><inertia ixx="{x}" iyy="{y}" izz="{z}" ixy="0" ixz="0" iyz="0"/></inertial>'


def link(name: str, m: float = 1.5, x: float = 0.01, y: float = 0.012, z: float = 0.015, more: str = "") -> str:
    return f'<link name="{name}">{INERTIA.format(m=m, x=x, y=y, z=z)}{more}</link>'


def joint(name: str, parent: str, child: str, kind: str = "revolute", axis: str = "0 0 1", more: str = "") -> str:
    limit = '<limit lower="-1" upper="2" velocity="3" effort="40"/>' if kind in ("revolute", "prismatic") else ""
    return (
        f'<joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/>'
        f'<origin xyz="0.1 0.2 0.3" rpy="0.4 -0.5 0.6"/><axis xyz="{axis}"/>{limit}{more}</joint>'
    )


def write(tmp_path: Path, *parts: str) -> Path:
    path = tmp_path / "arm.urdf"
    path.write_text(f'<robot name="arm">{"".join(parts)}</robot>')
    return path


@pytest.mark.parametrize("name", arm_names())
def test_the_generated_urdf_reads_back_as_the_same_arm(name, tmp_path):
    arm = load_arm(name)
    path = tmp_path / f"{name}.urdf"
    path.write_text(arm.urdf())
    read = load_arm(str(path))
    q, dq, ddq = np.random.default_rng(0).uniform(-1, 1, (3, 5, arm.chain.n))
    np.testing.assert_allclose(fk.frames(read.chain, q), fk.frames(arm.chain, q), atol=1e-14)
    np.testing.assert_allclose(rnea.rnea(read.chain, q, dq, ddq), rnea.rnea(arm.chain, q, dq, ddq), atol=1e-12)
    np.testing.assert_allclose(read.limits.array[:2], arm.limits.array[:2])
    np.testing.assert_allclose(read.capsules.array, arm.capsules.array, atol=1e-12)
    assert read.simulation_only
    assert not arm.simulation_only
    assert check_urdf(path)[0] == []


def rotation(axis: list[float], angle: float) -> np.ndarray:
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    T = np.eye(4)
    T[:3, :3] = np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K
    return T


def test_any_axis_fixed_prismatic_and_continuous_joints(tmp_path):
    path = write(
        tmp_path,
        *(link(name) for name in "abcdef"),
        joint("j1", "a", "b", "continuous", "1 2 -3"),
        joint("weld", "b", "c", "fixed"),
        joint("j2", "c", "d", "prismatic", "0 -1 0"),
        joint("j3", "d", "e", "revolute", "-1 0 0"),
        joint("tip", "e", "f", "fixed"),
    )
    arm = load_arm(str(path))
    assert arm.chain.joint_names == ("j1", "j2", "j3")
    q1, q2, q3 = q = np.array([0.7, 0.15, -0.9])
    at = transform((0.1, 0.2, 0.3), (0.4, -0.5, 0.6))
    slide = transform((0, -q2, 0), (0, 0, 0))
    expected = at @ rotation([1, 2, -3], q1) @ at @ at @ slide @ at @ rotation([-1, 0, 0], q3) @ at
    np.testing.assert_allclose(fk.tcp(arm.chain, q), expected, atol=1e-12)
    masses = [row.link.mass for row in arm.table.joints]
    assert masses == [3.0, 1.5, 3.0]


def test_a_gripper_with_mimic_fingers_ends_the_chain_and_keeps_its_mass(tmp_path):
    path = write(
        tmp_path,
        *(link(name) for name in ("base", "arm", "hand", "left", "right")),
        joint("j1", "base", "arm"),
        joint("mount", "arm", "hand", "fixed"),
        joint("finger_1", "hand", "left", "prismatic"),
        joint("finger_2", "hand", "right", "prismatic", more='<mimic joint="finger_1"/>'),
    )
    arm = load_arm(str(path))
    assert arm.chain.joint_names == ("j1",)
    assert arm.table.joints[0].link.mass == 6.0
    assert "flange is link 'hand'" in arm.table.frames
    assert any("mimics 'finger_1'" in text for text in check_urdf(path)[1])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (["<link"], "not URDF"),
        ([link("a"), link("b")], "not a tree"),
        ([link("a"), link("b"), joint("j", "a", "z")], "unknown link 'z'"),
        ([link("a"), link("b"), joint("j", "a", "b", "fixed")], "no moving joint"),
        ([link("a"), link("b"), joint("j", "a", "b", "floating")], "joint 'j' is floating"),
        ([link("a"), link("b"), joint("j", "a", "b", more='<mimic joint="k"/>')], "'j' mimics 'k'"),
        ([link("a"), link("b"), joint("j", "a", "b", axis="0 0 0")], "has the axis"),
        (
            [link("a"), link("b", z=0.5), joint("j", "a", "b")],
            "link 'b': inertia tensor breaks the triangle inequality",
        ),
    ],
)
def test_what_is_no_arm_is_refused_in_one_line(parts, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        load_arm(str(write(tmp_path, *parts)))


def test_entities_are_refused_before_parsing(tmp_path):
    path = tmp_path / "bomb.urdf"
    path.write_text('<!DOCTYPE r [<!ENTITY a "x">]><robot name="&a;"/>')
    with pytest.raises(ConfigError, match="entities"):
        load_arm(str(path))


def test_check_names_bad_tensors_placeholders_and_missing_limits(tmp_path):
    bare = '<joint name="k" type="revolute"><parent link="b"/><child link="c"/><axis xyz="0 0 1"/></joint>'
    parts = [link("a"), link("b", x=0.1), link("c", m=1, x=1, y=1, z=1), joint("j", "a", "b"), bare]
    errors, warnings = check_urdf(write(tmp_path, *parts))
    assert errors == ["link 'b': inertia tensor breaks the triangle inequality by 0.073 kg·m²"]
    text = "\n".join(warnings)
    for fact in ("'c': tensor 1 kg·m² times 1", "joint 'k': no position limits", "'k': no velocity", "'k': no effort"):
        assert fact in text


def test_the_scaffold_loads_as_an_arm(tmp_path, capsys):
    from robostral.arm.commands import COMMANDS

    source = tmp_path / "ur5e.urdf"
    source.write_text(load_arm("ur5e").urdf())
    COMMANDS["limits"](str(source))
    scaffold = tmp_path / "mine.yaml"
    scaffold.write_text(capsys.readouterr().out)
    assert load_arm(str(scaffold)).simulation_only
    assert "ours, for simulation only" in scaffold.read_text()


def test_commands_print_every_arm(capsys):
    from robostral.arm.commands import COMMANDS

    COMMANDS["list"]()
    for name in arm_names():
        COMMANDS["show"](name)
    printed = capsys.readouterr().out
    assert "Franka Research 3" in printed
    assert "ours, because KUKA publishes none" in printed
