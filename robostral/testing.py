"""Pytest plug-in for users' own repositories: a cell in lock-step, a served policy, a UR twin. No display, no network.

Installed with the package; a test asks for a fixture by name. Nothing heavy is imported before it is used.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import pytest

if TYPE_CHECKING:
    from robostral.arm import Arm
    from robostral.driver import Driver
    from robostral.process import Child
    from robostral.runtime.lockstep import LockStep
    from robostral.serving.remote import RemotePolicy


class Stepped(Protocol):
    """A plant whose time passes only when it is told to, and the arm that it moves, with its tool."""

    mounted: "Arm"

    def connect(self) -> None:
        """Stand at home."""
        ...

    def advance(self, periods: int = 1) -> None:
        """Let `periods` control periods pass."""
        ...


@pytest.fixture
def lockstep_cell() -> Iterator[Callable[..., "LockStep"]]:
    """Make a loop with its plant and its policy in this process, moved one control tick at a time, bit-identically.

    ``make(bundle, **options)``: `options` go to the `sim` driver, for example `arm`, `cell`, `rate_hz`, or `task` and
    `seed` for the cell of an episode. Without an `arm` it is the one that the bundle was trained for.
    """
    from robostral.bundle import OnnxPolicy, load
    from robostral.driver import load_driver
    from robostral.runtime.lockstep import LockStep

    with ExitStack() as stack:

        def make(bundle: str = "ur5e-reach-v1", **options: Any) -> LockStep:
            loaded = load(bundle)
            arm = options.pop("arm", loaded.requirements.arm)
            driver: Driver = load_driver("sim", arm=arm, realtime=False, **options)
            stack.callback(driver.close)
            driver.connect()
            policy = OnnxPolicy(loaded)
            stack.callback(policy.close)
            return LockStep(driver, cast(Stepped, driver).mounted, policy, cast(Stepped, driver).advance)

        yield make


@pytest.fixture
def served_policy(tmp_path: Path) -> Iterator[Callable[[str], "RemotePolicy"]]:
    """Serve a bundle from a process of its own, encrypted, with keys made for this test; make its client.

    ``make(bundle)`` returns a policy like a local one.
    """
    from robostral.bundle import load
    from robostral.process import Child
    from robostral.serving.keys import KeyStore
    from robostral.serving.remote import RemotePolicy

    with ExitStack() as stack:

        def make(bundle: str = "ur5e-reach-v1") -> RemotePolicy:
            keys = KeyStore(tmp_path / "keys")
            if not keys.grants():
                keys.create("client", "act")
            args = ["serve", bundle, "--keys", str(tmp_path / "keys"), "--bind", "tcp://127.0.0.1:0"]
            server = stack.enter_context(Child("policy server", args, tmp_path / "server.log"))
            policy = RemotePolicy(server.ready, keys.client(), load(bundle).sealed)
            stack.callback(policy.close)
            return policy

        yield make


@pytest.fixture
def ur_twin(tmp_path: Path) -> Iterator[Callable[..., "Child"]]:
    """Start the twin of a UR controller on a loopback address of its own; vendor clients connect to it.

    ``make(host, *args)``: `args` as on the command line of `robostral twin ur`, for example ``"--lockstep"``.
    """
    from robostral.process import Child

    with ExitStack() as stack:

        def make(host: str = "127.0.0.1", *args: str) -> Child:
            return stack.enter_context(Child("UR twin", ["twin", "ur", "--host", host, *args], tmp_path / "twin.log"))

        yield make
