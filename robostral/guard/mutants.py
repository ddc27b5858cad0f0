"""Mutation test of the guard: change one thing in its code at a time, and see whether a test notices.

Cosmic Ray makes the mutants; they live in memory only. Kernels are not compiled (NUMBA_DISABLE_JIT), and each mutant is
a fork of a process that has imported everything else, so that a mutant costs the test that kills it.
"""

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np

FILES = ("stop", "braking", "kernels", "clearance", "torque", "checks", "table", "__init__")
TESTS = ("tests/core/test_guard.py", "tests/core/test_clearance.py", "tests/core/test_torque.py")
SLOW = (
    "hostile", "poisoned", "bit_for_bit", "ticks_leave", "nearest_allowed", "fastest_allowed", "same_form",
    "every_state", "bound_of_the_condition", "pushed_without_end", "singular",
)  # fmt: skip
"""Parts of the names of tests that take too long uncompiled."""
CPU_SECONDS = 60
"""Processor time after which a mutant counts as killed: it does not end."""
LEFT_OUT = ("core/RemoveDecorator", "core/NumberReplacer", "core/VariableReplacer", "core/VariableInserter")
"""Operators that are not used: without compilation a decorator is nothing; the others only need arguments or nudge
tolerances that are `ours`."""

EQUIVALENT: dict[tuple[str, str], str] = {}
"""Mutants that no test can tell from the code: file and changed line, and why."""


class _Source(importlib.machinery.SourceFileLoader):
    """Loads a module from other source than its file's."""

    source = ""

    def get_code(self, fullname: str) -> CodeType | None:
        """Compile the mutant; no cache of byte code knows it."""
        return compile(self.source, self.path, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the mutant in place of the module."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name, self._path, self._source = name, path, source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Answer for one name."""
        if fullname != self._name:
            return None
        loader = _Source(fullname, str(self._path))
        loader.source = self._source
        search = [str(self._path.parent)] if self._path.stem == "__init__" else None
        return importlib.util.spec_from_file_location(
            fullname, self._path, loader=loader, submodule_search_locations=search
        )


def places(file: str) -> list[tuple[str, str, int]]:
    """List where a file of the guard can be changed: file, operator, occurrence."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    nodes = list(ast_nodes(get_ast(_read(file))))
    found = []
    for name in sorted(set(operator_names()) - set(LEFT_OUT)):
        operator = get_operator(name)()
        count = sum(1 for node in nodes for _ in operator.mutation_positions(node))
        found += [(file, name, occurrence) for occurrence in range(count)]
    return found


def mutate(file: str, operator: str, occurrence: int) -> tuple[str, str]:
    """Make one mutant; return its changed line and its source."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    source = _read(file)
    mutant = mutate_code(source, get_operator(operator)(), occurrence) or source
    changed = [b for a, b in zip(source.splitlines(), mutant.splitlines(), strict=False) if a != b]
    return (changed[0].strip() if changed else ""), mutant


def _read(file: str) -> str:
    return (Path(__file__).parent / f"{file}.py").read_text(encoding="utf-8")


def survives(file: str, source: str, root: Path) -> bool:
    """Run the tests against a mutant in this process, which is spent afterwards; tell whether all of them passed."""
    import pytest

    for module in [name for name in sys.modules if name.startswith(("robostral.guard", "robostral.control"))]:
        del sys.modules[module]
    name = "robostral.guard" if file == "__init__" else f"robostral.guard.{file}"
    sys.meta_path.insert(0, _Finder(name, Path(__file__).parent / f"{file}.py", source))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    importlib.import_module(name)  # now: pytest's own hook would load the file as it is
    os.chdir(root)
    chosen = ["-k", " and ".join(f"not {part}" for part in SLOW)]
    options = [
        "-x",
        "-q",
        "--no-header",
        "-p",
        "no:cacheprovider",
    ]
    return pytest.main([*TESTS, *chosen, *options]) == 0


def _fork(file: str, source: str, root: Path) -> int:
    child = os.fork()
    if child:
        return child
    with contextlib.suppress(BaseException):
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        os._exit(0 if survives(file, source, root) else 1)
    os._exit(1)


def run(root: Path, sample: int, seed: int, workers: int, files: Sequence[str] = FILES) -> dict[str, Any]:
    """Test a sample of all mutants.

    Args:
        root: Folder that holds `tests`.
        sample: How many mutants; 0 for all of them.
        seed: Of the sample.
        workers: How many at a time.
        files: Files of the guard.

    Returns:
        Counts, score per file and in all, and every survivor that is not known to be equivalent.

    Raises:
        RuntimeError: The tests do not pass without a mutation.
    """
    everything = [place for file in files for place in places(file)]
    order = np.random.default_rng(seed).permutation(len(everything))[: sample or None].tolist()
    if os.waitpid(_fork("stop", _read("stop"), root), 0)[1] != 0:
        raise RuntimeError("the tests do not pass without a mutation")
    running: dict[int, tuple[str, str, str]] = {}
    tested: list[tuple[str, str, str]] = []
    lived: list[tuple[str, str, str]] = []
    while order or running:
        if order and len(running) < workers:
            file, operator, occurrence = everything[order.pop()]
            line, source = mutate(file, operator, occurrence)
            if line:
                mutant = file, operator, line
                tested.append(mutant)
                running[_fork(file, source, root)] = mutant
            continue
        child, status = os.wait()
        mutant = running.pop(child)
        if status == 0:
            lived.append(mutant)
            print(f"survived: {mutant[0]}: {mutant[2]}", file=sys.stderr, flush=True)
    return _score(tested, lived, len(everything))


def _score(tested: list[tuple[str, str, str]], lived: list[tuple[str, str, str]], total: int) -> dict[str, Any]:
    known = [mutant for mutant in lived if (mutant[0], mutant[2]) in EQUIVALENT]
    survivors = [mutant for mutant in lived if mutant not in known]
    counted = len(tested) - len(known)
    return {
        "mutants": total,
        "tested": len(tested),
        "equivalent": [[*mutant, EQUIVALENT[mutant[0], mutant[2]]] for mutant in known],
        "survived": [list(mutant) for mutant in survivors],
        "score": 1.0 - len(survivors) / max(counted, 1),
    }


def main() -> None:
    """Be the process without compiled kernels: arguments root, sample, seed, workers; the result goes to stdout."""
    import hypothesis  # noqa: F401  what every mutant imports, imported once
    import msgspec
    import pytest  # noqa: F401

    from robostral.kinematics import condition, distance, lm  # noqa: F401

    root, sample, seed, workers = sys.argv[1:5]
    sys.path.insert(0, str(Path(root) / "tests" / "core"))
    print(msgspec.json.encode(run(Path(root), int(sample), int(seed), int(workers))).decode())


if __name__ == "__main__":
    main()
