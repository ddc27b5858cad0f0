"""The mutation test: a mutant is loaded in place of its file, and the score counts what nobody noticed."""

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
    tested = [("stop", "op", f"line {k}") for k in range(10)]
    monkeypatch.setitem(mutants.EQUIVALENT, ("stop", "line 1"), "a test")
    found = mutants._score(tested, tested[:3], 100)
    assert found["score"] == pytest.approx(1.0 - 2.0 / 9.0)
    assert found["survived"] == [["stop", "op", "line 0"], ["stop", "op", "line 2"]]
    assert found["equivalent"] == [["stop", "op", "line 1", "a test"]]


def test_mutants_differ_from_the_code_in_one_place() -> None:
    pytest.importorskip("cosmic_ray", reason="cosmic-ray is not installed (extra 'mutants')")
    places = mutants.places("torque")
    line, source = mutants.mutate(*places[0])
    assert line
    assert source != (GUARD / "torque.py").read_text()
