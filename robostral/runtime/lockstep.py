"""A loop without real time: policy, plant and operator in one process, one tick at a time, bit-identical every time."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from robostral.arm import Arm
from robostral.driver import Driver
from robostral.policy import Policy
from robostral.runtime import records
from robostral.runtime.external import NAMES, layout
from robostral.runtime.ladder import Mode
from robostral.runtime.loop import Loop
from robostral.runtime.mailbox import Mailbox
from robostral.runtime.operator import OPS
from robostral.runtime.options import LoopOptions, check_abilities
from robostral.runtime.realtime import Clock, FakeClock
from robostral.runtime.records import Answer
from robostral.runtime.sizes import sizes_of
from robostral.runtime.status import Status, StatusReader


class LocalSource:
    """Answers every observation at once, in the loop's own process; ring it where the transport's bell would ring.

    Args:
        policy: Any policy of the loop's contract.
        mailbox: The loop's.
        clock: The loop's.
        bundle: First 8 bytes of the bundle's digest, as a number.
    """

    def __init__(self, policy: Policy, mailbox: Mailbox, clock: Clock, bundle: int = 0) -> None:
        self._policy, self._mailbox, self._clock = policy, mailbox, clock
        self._chunk = records.empty(mailbox.chunk.dtype)
        self._chunk["bundle"] = bundle

    def __call__(self) -> None:
        """Answer the newest observation."""
        obs, chunk = self._mailbox.obs.take(), self._chunk
        if obs is None:
            return
        for name in ("session", "seq", "t_obs_ns"):
            chunk[name] = obs[name]
        chunk["chunk"] = self._policy.infer(obs["obs"][None])[0]
        chunk["t_arrival_ns"] = self._clock.now_ns()
        self._mailbox.chunk.publish(chunk)


class LockStep:
    """A loop, its plant and its policy, moved one control tick at a time.

    Args:
        driver: Connected; of a plant whose time passes only in `advance`.
        arm: What it moves.
        policy: Asked inline.
        advance: Lets the plant live through one control period.
        options: What the site sets.

    Attributes:
        driver, loop, mailbox, clock: The parts; the same that a real run is made of.
    """

    def __init__(
        self,
        driver: Driver,
        arm: Arm,
        policy: Policy,
        advance: Callable[[], object] = lambda: None,
        options: LoopOptions | None = None,
    ) -> None:
        check_abilities(policy.sealed.contract, driver.info)
        self.driver, options = driver, options or LoopOptions()
        sizes = sizes_of(policy.sealed.contract, arm, identified=options.identified is not None)
        self.mailbox, self.clock, self._advance = Mailbox(sizes), FakeClock(), advance
        self.loop = Loop(driver, arm, policy.sealed, self.mailbox, self.clock, options)
        self.source = LocalSource(policy, self.mailbox, self.clock)
        self.mailbox.ring_bell = self.source
        self._status, self._serial = StatusReader(self.mailbox), 0
        self._rows, self._count = np.zeros(1024, self.mailbox.ticks.dtype), 0
        self._operator = records.empty(self.mailbox.operator.dtype)
        self._external = records.empty(self.mailbox.external.dtype)
        self._places = layout(policy.sealed.contract)

    def tick(self, count: int = 1) -> NDArray[np.void]:
        """Live through `count` control ticks; return their records, see `rows`."""
        for _ in range(count):
            self.clock.t_ns += self.loop.dt_ns
            self.loop.tick()
            self._advance()
            if self._count == len(self._rows):
                self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
            self._rows[self._count : self._count + 1] = self.mailbox.ticks.drain()
            self._count += 1
        return self.rows[self._count - count :]

    def ask(self, op: str, *args: float) -> Answer:
        """Ask what an operator asks, live through the tick that handles it, and return the loop's answer."""
        self._serial += 1
        self._operator["serial"], self._operator["op"], self._operator["args"] = self._serial, OPS[op], 0.0
        if op == "goal":
            self.signal("goal", *args)
        else:
            self._operator["args"][: len(args)] = args
        self.mailbox.operator.publish(self._operator)
        self.tick()
        return Answer(int(self._status.record["answer"]))

    def signal(self, name: str, *values: float, age_s: float = 0.0) -> None:
        """Let an external signal (`goal`, `part`, `belt`) come, of which its sender says that it is `age_s` old [s]."""
        i = NAMES.index(name)
        self._external["value"][self._places[name]] = values
        self._external["t_receipt_ns"][i], self._external["age_ns"][i] = self.clock.now_ns(), round(1e9 * age_s)
        self.mailbox.external.publish(self._external)

    def run_until(self, done: Callable[[Status], bool], limit_s: float) -> NDArray[np.void]:
        """Tick until `done` of the status, looked at once per policy step, or until `limit_s` [s] have passed."""
        began = self._count
        until = self.clock.now_ns() + round(1e9 * limit_s)
        while self.clock.now_ns() < until and not done(self.status):
            self.tick(20)
        return self.rows[began:]

    @property
    def rows(self) -> NDArray[np.void]:
        """Records of all ticks so far, see `robostral.runtime.records.tick_dtype`."""
        return self._rows[: self._count]

    @property
    def status(self) -> Status:
        """What the loop last told."""
        return self._status.read()

    @property
    def mode(self) -> Mode:
        """Where the ladder stands."""
        return self.loop.ladder.mode
