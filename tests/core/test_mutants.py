"""The mutation test: a mutant is loaded in place of its file, and the score counts what nobody noticed."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from robostral.guard import mutants

GUARD = Path(mutants.__file__).parent


def test_a_mutant_is_loaded_in_place_of_its_file() -> None:
    """In a process of its own: what is imported there is not the code of this one."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from robostral.guard import mutants\n"
        "path = Path(mutants.__file__).parent / 'stop.py'\n"
        "source = path.read_text().replace('BISECTIONS = 24', 'BISECTIONS = 25')\n"
        "for name in [name for name in sys.modules if name.startswith('robostral.guard')]:\n"
        "    del sys.modules[name]\n"
        "sys.meta_path.insert(0, mutants._Finder('robostral.guard.stop', path, source))\n"
        "from robostral.guard import stop\n"
        "print(stop.BISECTIONS)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "25"


def test_the_score_counts_survivors_that_are_not_known_to_be_equivalent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mutants.EQUIVALENT, ("stop", "line 1"), "a test")
    tally = mutants.Tally(100)
    for k in range(3):
        tally.add(("stop", "op", f"line {k}"), mutants.SURVIVED << 8)
    for k in range(3, 10):
        tally.add(("stop", "op", f"line {k}"), signal.SIGXCPU if k == 9 else mutants.KILLED << 8)
    tally.add(("stop", "op", "line 10"), mutants.UNFIT << 8)
    found = tally.report()
    assert found["score"] == pytest.approx(7.0 / 9.0)
    assert found["survived"] == [["stop", "op", "line 0"], ["stop", "op", "line 2"]]
    assert found["equivalent"] == [["stop", "op", "line 1", "a test"]]
    assert (found["endless"], found["unfit"], found["counted"]) == (1, 1, 9)


def test_the_interval_of_a_share() -> None:
    """Figures of Wilson's formula, computed by hand with z = 1.96."""
    assert mutants.wilson(190, 200) == pytest.approx((0.91042, 0.97262), abs=2e-5)
    assert mutants.wilson(10, 10) == pytest.approx((0.72247, 1.0), abs=2e-5)
    assert mutants.wilson(0, 0) == (0.0, 1.0)


def test_mutants_differ_from_the_code_in_one_place() -> None:
    pytest.importorskip("cosmic_ray", reason="cosmic-ray is not installed (extra 'mutants')")
    places = mutants.places("torque")
    line, source = mutants.mutate(*places[0])
    assert line
    assert source != (GUARD / "torque.py").read_text()


@pytest.mark.parametrize("name", ["Add_BitAnd", "Eq_Is", "RemoveDecorator", "USub_UAdd", "BitOr_Sub"])
def test_what_flatters_the_score_is_left_out(name: str) -> None:
    assert mutants.LEFT_OUT.search(name)


@pytest.mark.parametrize("name", ["Add_Sub", "Eq_NotEq", "Lt_LtE", "NumberReplacer", "Is_IsNot", "BitOr_BitAnd"])
def test_what_says_something_is_not(name: str) -> None:
    assert not mutants.LEFT_OUT.search(name)
