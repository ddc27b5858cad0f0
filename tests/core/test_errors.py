"""Errors: each is one line that names the fact and the choice, and ends a command with code 2."""

import inspect

import pytest

from robostral import errors
from robostral.errors import ContractMismatch, MissingExtra, RequirementsNotMet, RobostralError, UnknownName
from robostral.extras import require


def test_every_error_is_a_refusal():
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
    assert len(kinds) > 5
    assert all(issubclass(kind, RobostralError) and kind.exit_code == 2 for kind in kinds)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ur5", "unknown arm 'ur5'; did you mean 'ur5e'? (arms: panda, ur5e)"),
        ("panda ", "unknown arm 'panda '; did you mean 'panda'? (arms: panda, ur5e)"),
        ("zzz", "unknown arm 'zzz' (arms: panda, ur5e)"),
    ],
)
def test_an_unknown_name_lists_the_choices_and_the_nearest(name, message):
    assert str(UnknownName("arm", name, ["ur5e", "panda"])) == message


def test_an_empty_registry_says_so():
    assert str(UnknownName("driver", "ur", [])) == "unknown driver 'ur' (drivers: none is installed)"


def test_mismatches_carry_their_fields():
    mismatch = ContractMismatch("the loop", "the bundle", ["a: 1 != 2", "b: 3 != 4"])
    assert mismatch.fields == ("a: 1 != 2", "b: 3 != 4")
    assert str(mismatch) == "contract of the loop differs from the bundle in: a: 1 != 2; b: 3 != 4"
    assert RequirementsNotMet(["x"]).figures == ("x",)


def test_a_missing_extra_says_how_to_install_it():
    assert require("json", "serve").loads("1") == 1
    with pytest.raises(MissingExtra, match=r"needs the module 'no_such_module': pip install \"robostral\[serve\]\""):
        require("no_such_module", "serve")


def test_a_fault_inside_an_extra_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        require("half_installed", "serve")
