"""Fixtures of the tests of cells."""

import pytest
from engine_cell import DT_S
from robostral_sims.engines import engine_names, load_engine


@pytest.fixture(params=engine_names())
def make(request):
    """Make Worlds of each engine; closing one twice is harmless."""
    worlds = []

    def make(scene, dt_s=DT_S):
        worlds.append(load_engine(request.param)(scene, dt_s))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()
        world.close()
