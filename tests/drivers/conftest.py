"""Twins of a UR controller that tests share."""

from collections.abc import Iterator

import pytest
from ur_rig import Twin, start


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twin]:
    """A twin in real time, shared; a test that breaks it mends it."""
    yield from start(tmp_path_factory.mktemp("twin"))


@pytest.fixture(scope="session")
def lockstep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twin]:
    """A twin whose time passes only with commands, shared."""
    yield from start(tmp_path_factory.mktemp("lockstep"), "--lockstep")
