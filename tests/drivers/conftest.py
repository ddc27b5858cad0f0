"""Twins of a UR controller that tests share."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from ur_rig import Twin, start


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twin]:
    """A twin in real time, shared; a test that breaks it mends it."""
    with start(tmp_path_factory.mktemp("twin")) as twin:
        yield twin


@pytest.fixture(scope="module")
def lockstep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Twin, Twin]]:
    """Two fresh twins whose time passes only with commands."""
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    with ThreadPoolExecutor() as pool, ExitStack() as stack:
        started = list(pool.map(lambda folder: stack.enter_context(start(folder, "--lockstep")), folders))
        yield started[0], started[1]
