"""Settings of every test."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# The first example of a kernel's test compiles the kernel: time says nothing here, and the machines are noisy anyway.
settings.register_profile("robostral", deadline=None)
settings.load_profile("robostral")


# A script's shell starts background jobs with SIGINT ignored, which the programs that tests start would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def ordinary_rank() -> Iterator[None]:
    """Give the test process its cores and its rank back: what it starts next would inherit a real-time one."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores, policy, parameters = os.sched_getaffinity(0), os.sched_getscheduler(0), os.sched_getparam(0)
    yield
    os.sched_setscheduler(0, policy, parameters)
    os.sched_setaffinity(0, cores)
