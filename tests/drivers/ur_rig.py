"""Twins of a UR controller in processes of their own: the client library holds the interpreter while it connects."""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from robostral_drivers.ur.lab import Lab
from robostral_drivers.ur.twin import read_commands

from robostral.process import Child

_numbers = itertools.count(1)


def fresh_host() -> str:
    """A loopback address that no other test and no other test run uses."""
    return f"127.{40 + os.getpid() % 200}.{os.getpid() // 200 % 250}.{next(_numbers)}"


def eventually(fact: Callable[[], bool], timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not fact():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.002)


@dataclass
class Twin:
    host: str
    child: Child
    lab: Lab
    record: Path

    def commands(self) -> NDArray[np.float64]:
        return read_commands(self.record)

    def settle(self) -> None:
        eventually(lambda: bool(self.lab.state()["at_rest"]))


@contextmanager
def start(folder: Path, *args: str) -> Iterator[Twin]:
    host, record = fresh_host(), folder / "commands.bin"
    child = Child("UR twin", ["twin", "ur", "--host", host, "--record", str(record), *args], folder / "twin.log")
    with child, Lab(host) as lab:
        yield Twin(host, child, lab, record)
