"""Everything a demo needs around the loop: keys made for this run only, a UR twin, a policy server, the run itself."""

import shutil
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

import msgspec
from rich.console import Console

from robostral import config as presets
from robostral.bundle import Bundle
from robostral.chaos.proxy import Proxy
from robostral.process import Child
from robostral.runtime.config import DriverConfig, RunConfig
from robostral.runtime.launch import Runtime
from robostral.serving.keys import KeyStore

PRESET = "ur5e-twin"
WIRE_RECORD = "wire.f64"
"""What the twin heard: rows of 8 doubles (time, number, six joint positions)."""


class Plant:
    """Twin, server and runtime as one context manager; behind it nothing runs and the run folder holds every log.

    Args:
        bundle: Policy by name or path.
        host: Loopback address of the twin.
        runs: Folder that the run folder is made in.
        console: Where progress is shown.
        wire: Whether the twin is a UR controller behind its own wire, or a simulated arm inside the loop's process.
        seed: Seed of the proxy between robot and server; None has no proxy.

    Attributes:
        runtime: The run: its folder, its status, its operator's door.
        notes: What the system did not give the loop, in words.

    Raises:
        RobostralError: A part could not start; says which and why.
    """

    def __init__(
        self, bundle: str, host: str, runs: Path, console: Console, *, wire: bool = True, seed: int | None = None
    ) -> None:
        self._name, self._host, self._runs, self.console = bundle, host, runs, console
        self._wire, self._seed = wire, seed
        self._twin: Child | None = None
        self.proxy: Proxy | None = None
        self._stack = ExitStack()

    def __enter__(self) -> "Plant":
        with ExitStack() as stack:
            self._scratch = Path(stack.enter_context(TemporaryDirectory(prefix="robostral-demo-")))
            self._keys = self._scratch / "keys"
            KeyStore(self._keys).create("client", "act")
            stack.callback(self._keep_logs)
            with self.console.status("starting twin, server and loop (the first run compiles the kernels) ..."):
                if self._wire:
                    self._twin = stack.enter_context(self._start_twin())
                self._server = self._start_server("tcp://127.0.0.1:0")
                stack.callback(lambda: self._server.stop())
                self.endpoint = self._server.ready
                if self._seed is not None:
                    self.proxy = stack.enter_context(Proxy(self.endpoint, self._seed))
                self.runtime = stack.enter_context(Runtime(self._config()))
            self.notes = self.runtime.notes
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def bundle(self) -> Bundle:
        """The policy that runs."""
        return self.runtime.bundle

    @property
    def period_s(self) -> float:
        """Nominal control period [s]."""
        return 0.002

    def check(self) -> None:
        """Notice a part that has ended.

        Raises:
            ChildFailed: Says which and why.
        """
        if self._twin is not None:
            self._twin.check()
        self.runtime.check()

    @property
    def server_pid(self) -> int:
        """Process id of the policy server."""
        return self._server.pid

    def kill_server(self) -> None:
        """End the policy server with SIGKILL."""
        self._server.kill()

    def restart_server(self) -> None:
        """Start the policy server again, where it was."""
        self._server = self._start_server(self.endpoint)

    def _start_server(self, bind: str) -> Child:
        args = ["serve", self._name, "--keys", str(self._keys), "--bind", bind]
        return Child("policy server", args, self._scratch / "server.log")

    def _start_twin(self) -> Child:
        args = ["twin", "ur", "--host", self._host, "--record", str(self._scratch / WIRE_RECORD)]
        return Child("UR twin", args, self._scratch / "twin.log")

    def _config(self) -> RunConfig:
        preset = presets.load("run", PRESET, RunConfig)
        driver = msgspec.structs.replace(preset.driver, options={**preset.driver.options, "host": self._host})
        if not self._wire:
            driver = DriverConfig("sim")
        return msgspec.structs.replace(
            preset,
            driver=driver,
            bundle=self._name,
            server=self.proxy.endpoint if self.proxy else self.endpoint,
            keys=str(self._keys),
            runs=str(self._runs),
            name="demo",
        )

    def _keep_logs(self) -> None:
        """Move what twin and server said into the run folder; the keys of this run go with the scratch folder."""
        if hasattr(self, "runtime"):
            for name in ("server.log", "twin.log", WIRE_RECORD):
                if (self._scratch / name).exists():
                    shutil.move(self._scratch / name, self.runtime.folder / name)
