"""Presets: found by name, decoded strictly, and whatever is wrong is said with its place and the nearest right word."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robostral import config
from robostral.errors import ConfigError, RobostralError, UnknownName


class Joint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    stiffness: float
    damping: float = 1.0


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    arm: str
    rate_hz: float = 500.0
    joints: tuple[Joint, ...] = ()
    tool: Joint | None = None


GOOD = b"arm: ur5e\nrate_hz: 250\njoints:\n  - {stiffness: 3}\n"


@pytest.fixture
def presets(tmp_path, monkeypatch):
    """A folder of presets in the place where an installed wheel has them."""
    (tmp_path / "configs" / "run").mkdir(parents=True)
    (tmp_path / "configs" / "run" / "ur5e-twin.yaml").write_bytes(GOOD)
    monkeypatch.setattr(config, "_PACKAGE", tmp_path)
    return tmp_path


def test_a_preset_is_found_by_name_and_by_path(presets):
    expected = Preset("ur5e", 250.0, (Joint(3.0),))
    assert config.names("run") == ["ur5e-twin"]
    assert config.load("run", "ur5e-twin", Preset) == expected
    assert config.load("run", str(presets / "configs" / "run" / "ur5e-twin.yaml"), Preset) == expected


def test_an_unknown_preset_is_answered_with_the_nearest(presets):
    with pytest.raises(UnknownName, match="unknown run preset 'ur5e-twim'; did you mean 'ur5e-twin'"):
        config.load("run", "ur5e-twim", Preset)
    with pytest.raises(ConfigError, match=r"no file 'absent.yaml'"):
        config.load("run", "absent.yaml", Preset)
    with pytest.raises(RobostralError, match=r"unknown run preset '../run/ur5e-twin'"):
        config.load("run", "../run/ur5e-twin", Preset)


def test_a_source_tree_keeps_presets_beside_the_packages():
    assert (config.root().parent / "pyproject.toml").is_file()


@pytest.mark.parametrize(
    ("raw", "fact"),
    [
        (b"arm: ur5e\nrat_hz: 1\n", "unknown key 'rat_hz'; did you mean 'rate_hz'?"),
        (b"arm: ur5e\njoints:\n  - {stifness: 3}\n", "unknown key 'joints[0].stifness'; did you mean 'stiffness'?"),
        (b"arm: ur5e\njoints: [{stiffness: 3, zz: 1}]\n", "unknown key 'joints[0].zz'"),
        (b"arm: ur5e\ntool: {stiffness: 3, dampin: 1}\n", "unknown key 'tool.dampin'; did you mean 'damping'?"),
        (b"arm: ur5e\nrate_hz: fast\n", "Expected `float`, got `str` - at `$.rate_hz`"),
        (b"rate_hz: 1\n", "missing required field `arm`"),
        (b"- 1\n", "Expected `object`"),
        (b"", "Expected `object`"),
        (b"arm: [\n", "not valid YAML"),
        (b"arm: !!python/object/apply:os.system [ls]\n", "not valid YAML"),
        (b"\xff\xfe\x00", "not valid YAML"),
        (b"arm: " + b"[" * 5000, "file.yaml"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(raw, fact):
    with pytest.raises(ConfigError) as caught:
        config.decode(raw, Preset, "file.yaml")
    message = str(caught.value)
    assert message.startswith("file.yaml: ")
    assert fact in message
    assert "\n" not in message


@given(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_any_bytes_are_a_preset_or_a_config_error(raw):
    try:
        found = config.decode(raw, Preset, "file.yaml")
    except ConfigError:
        return
    assert isinstance(found, Preset)
