"""Mutation test of the guard: change one thing in its code at a time, and see whether a test notices.

Cosmic Ray makes the mutants; they live in memory only. Kernels are not compiled (NUMBA_DISABLE_JIT), and each mutant is
a fork of a process that has imported everything else, so that a mutant costs the test that kills it.
"""

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np

from robostral.guard.equivalent import EQUIVALENT

FILES = ("stop", "braking", "kernels", "clearance", "torque", "checks", "table", "__init__")
TESTS = tuple(
    f"tests/core/test_{name}.py"
    for name in ("stop", "braking", "kernels", "bounds", "table", "checks", "guard", "clearance", "torque")
)
SLOW = (
    "hostile", "poisoned", "bit_for_bit", "ticks_leave", "nearest_allowed", "fastest_allowed", "same_form",
    "every_state", "bound_of_the_condition", "pushed_without_end", "near_a_singular", "from_a_singular",
)  # fmt: skip
"""Parts of the names of tests that take too long uncompiled."""
CPU_SECONDS = 40
"""Processor time after which a mutant counts as killed: it does not end."""
LEFT_OUT = re.compile(
    "RemoveDecorator|VariableReplacer|VariableInserter|USub_UAdd"
    "|(Add|Sub|Mul|Div|FloorDiv|Mod|Pow)_(BitAnd|BitOr|BitXor|LShift|RShift)|USub_Invert"
    "|BitOr_(Add|Sub|Mul|Div|FloorDiv|Mod|Pow|LShift|RShift)|(Eq|NotEq|Lt|LtE|Gt|GtE)_(Is|IsNot)"
)
"""Operators that are not used. Without compilation a decorator is nothing; the variable operators need arguments; bits
of a float (and sums of bits) fail at once in any test, which would flatter the score; `is` between numbers is `==`."""

KILLED, SURVIVED, UNFIT = 1, 0, 3
"""How the process of a mutant ends; an unfit mutant cannot even be imported, so it does not count."""


class _Source(importlib.machinery.SourceFileLoader):
    """Loads a module from other source than its file's."""

    source = ""

    def get_code(self, fullname: str) -> CodeType | None:
        """Compile the mutant; no cache of byte code knows it."""
        code: CodeType = self.source_to_code(self.source.encode(), self.path)
        return code


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
    for name in sorted(name for name in operator_names() if not LEFT_OUT.search(name)):
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


def examine(file: str, source: str, root: Path) -> int:
    """Run the tests against a mutant in this process, which is spent afterwards; return how that ended."""
    import pytest

    for module in [name for name in sys.modules if name.startswith(("robostral.guard", "robostral.control"))]:
        del sys.modules[module]
    name = "robostral.guard" if file == "__init__" else f"robostral.guard.{file}"
    sys.meta_path.insert(0, _Finder(name, Path(__file__).parent / f"{file}.py", source))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    try:
        importlib.import_module(name)  # now: pytest's own hook would load the file as it is
    except Exception:
        return UNFIT
    os.chdir(root)
    chosen = ["-k", " and ".join(f"not {part}" for part in SLOW)]
    tests = sorted(
        TESTS, key=lambda test: Path(test).stem != f"test_{file}"
    )  # those of the file first: they know it best
    return SURVIVED if pytest.main([*tests, *chosen, "-x", "-q", "-p", "no:cacheprovider"]) == 0 else KILLED


def _fork(file: str, source: str, root: Path) -> int:
    child = os.fork()
    if child:
        return child
    with contextlib.suppress(BaseException):
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        os._exit(examine(file, source, root))
    os._exit(KILLED)


Mutant = tuple[str, str, str]
"""File, operator, changed line."""


class Tally:
    """What became of the mutants so far.

    Attributes:
        total: How many mutants there are.
        killed, survived, unfit, endless: What was tested; an endless mutant is one of the killed.
    """

    def __init__(self, total: int) -> None:
        self.total, self.endless = total, 0
        self.killed, self.survived, self.unfit = list[Mutant](), list[Mutant](), list[Mutant]()

    def add(self, mutant: Mutant, status: int) -> None:
        """Take what `os.wait` says about a mutant's process."""
        code = os.waitstatus_to_exitcode(status)
        self.endless += code in (-signal.SIGXCPU, -signal.SIGKILL)
        {SURVIVED: self.survived, UNFIT: self.unfit}.get(code, self.killed).append(mutant)
        if code == SURVIVED:
            known = EQUIVALENT.get((mutant[0], mutant[2]))
            print(f"{'equivalent' if known else 'SURVIVED'}: {mutant[0]}: {mutant[2]}", file=sys.stderr, flush=True)
        if (len(self.killed) + len(self.survived)) % 10 == 0:
            print(self.line(), file=sys.stderr, flush=True)

    def report(self) -> dict[str, Any]:
        """Sum up: counts, the score with its 95 % interval (Wilson), and every survivor."""
        known = [mutant for mutant in self.survived if (mutant[0], mutant[2]) in EQUIVALENT]
        lived = [mutant for mutant in self.survived if mutant not in known]
        counted = len(self.killed) + len(lived)
        return {
            "mutants": self.total,
            "counted": counted,
            "killed": len(self.killed),
            "endless": self.endless,
            "unfit": len(self.unfit),
            "equivalent": [[*mutant, EQUIVALENT[mutant[0], mutant[2]]] for mutant in known],
            "survived": [list(mutant) for mutant in lived],
            "score": len(self.killed) / max(counted, 1),
            "interval_95": wilson(len(self.killed), counted),
        }

    def line(self) -> str:
        """Write it in one line."""
        found = self.report()
        low, high = found["interval_95"]
        return f"{found['killed']} of {found['counted']} killed: {found['score']:.1%}, 95 % in {low:.1%} to {high:.1%}"


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Compute the interval of a share that `hits` of `n` are a sample of."""
    if n == 0:
        return 0.0, 1.0
    share = hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return max(middle - half, 0.0), min(middle + half, 1.0)


def run(root: Path, sample: int, seed: int, workers: int, minutes: float) -> dict[str, Any]:
    """Test a sample of all mutants.

    Args:
        root: Folder that holds `tests`.
        sample: How many mutants; 0 for all of them.
        seed: Of the sample.
        workers: How many at a time.
        minutes: After so long no further mutant is begun; 0 for no limit.

    Returns:
        See `Tally.report`.

    Raises:
        RuntimeError: The tests do not pass without a mutation.
    """
    everything = [place for file in FILES for place in places(file)]
    order = np.random.default_rng(seed).permutation(len(everything))[: sample or None].tolist()
    if os.waitpid(_fork("stop", _read("stop"), root), 0)[1] != 0:
        raise RuntimeError("the tests do not pass without a mutation")
    tally, running = Tally(len(everything)), dict[int, Mutant]()
    ends = time.monotonic() + 60.0 * minutes if minutes else float("inf")
    print(f"{len(order)} of {len(everything)} mutants, {workers} at a time", file=sys.stderr, flush=True)
    while order or running:
        if order and len(running) < workers and time.monotonic() < ends:
            file, operator, occurrence = everything[order.pop(0)]
            line, source = mutate(file, operator, occurrence)
            if line:
                running[_fork(file, source, root)] = (file, operator, line)
        elif running:
            child, status = os.wait()
            tally.add(running.pop(child), status)
        else:
            break
    return tally.report()


def main() -> None:
    """Be the process without compiled kernels: root, sample, seed, workers, minutes; the result goes to stdout."""
    import hypothesis  # noqa: F401  what every mutant imports, imported once
    import msgspec
    import pytest  # noqa: F401

    from robostral.kinematics import condition, distance, lm  # noqa: F401

    root, sample, seed, workers, minutes = sys.argv[1:6]
    sys.path.insert(0, str(Path(root) / "tests" / "core"))
    figures = run(Path(root), int(sample), int(seed), int(workers), float(minutes))
    print(msgspec.json.encode(figures).decode())


if __name__ == "__main__":
    main()
