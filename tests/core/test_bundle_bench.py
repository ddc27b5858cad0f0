"""A thousand mutants of a bundle: none loads; and the attack would see it if one did."""

from pathlib import Path

import pytest
import tiny_bundle

from robostral.bundle import bench
from robostral.bundle.files import read_files
from robostral.bundle.read import Bundle, assemble


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return read_files(tiny_bundle.write(tmp_path_factory.mktemp("bundles") / "tiny-v1"))


def test_no_mutant_loads(tmp_path: Path, files: dict[str, bytes]) -> None:
    figures = bench.attack(tmp_path, files, 1000)
    assert (figures["n"], figures["loaded"]) == (1000, 0)
    assert figures["by_kind"] == {kind: {"n": 100, "loaded": 0} for kind in bench.KINDS}


def test_a_loader_that_trusts_everybody_is_found_out(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(_known: object, path: Path, _plant: str, _at_least: int = 0) -> Bundle:
        return assemble(path, read_files(path), None)

    monkeypatch.setattr(bench, "load_with", careless)
    found = bench.attack(tmp_path, files, 100)["by_kind"]
    assert found["forge"]["loaded"] == 10
    assert found["older"]["loaded"] > 0
    assert found["truncate"]["loaded"] > 0


def test_the_command_reports_n_failures_and_their_bound(tmp_path: Path) -> None:
    folder = tiny_bundle.write(tmp_path / "tiny-v1")
    found = bench.run(str(folder), 20)
    assert (found["bundle"], found["mutants"]["n"], found["mutants"]["loaded"]) == (str(folder), 20, 0)
    assert found["mutants"]["bound_95"] == 0.15
