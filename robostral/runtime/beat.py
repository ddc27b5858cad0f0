"""A loop in front of the loopback driver, in a process of its own, that lives through slices of time on demand.

Started as ``python -m robostral.runtime.beat RATE_HZ CORE``; each line with a number of seconds on standard input is
answered by one line of JSON on standard output; a second number, of nanoseconds, asks for ticks that look at the clock
for so long and compute nothing: what the machine alone does to them. The bench of the loop is its only user.
"""

import gc
import json
import sys
from typing import Any

import numpy as np

from robostral.arm import Arm, load_arm
from robostral.contract import Action, Contract, Device, Impedance, Rate, Sealed
from robostral.runtime import pace, realtime, records
from robostral.runtime.ladder import Mode
from robostral.runtime.loop import Loop
from robostral.runtime.loopback import Loopback
from robostral.runtime.mailbox import Mailbox
from robostral.runtime.operator import OPS
from robostral.runtime.options import LoopOptions
from robostral.runtime.sizes import sizes_of
from robostral.signals import joint_units, obs_field

SPEED = 0.02
"""Speed override of the move back and forth that goes on meanwhile: one way takes longer than a slice."""
TICKS = 10_000


SOFT = Impedance((1000.0,) * 3 + (10.0,) * 3, (1.0,) * 6, 0.0)


def contract_of(arm: Arm) -> Sealed:
    """Seal a contract that sees everything a policy of this arm does, and whose law is the dearest one."""
    chain, bound = arm.chain, (0.06,) * arm.chain.n
    fields = ("q", "dq", "q_c", "tcp_position", "tcp_rot6d", "goal_position", "goal_rot6d", "goal_error")
    action = Action(
        "joint_position_delta", tuple(-b for b in bound), bound, joint_units(chain), "joint", 3, 0.04, 0.12, (), SOFT
    )
    device = Device("arm", chain.joint_names, tuple(1 for _ in bound))
    return Sealed.seal(
        Contract("beat", (device,), tuple(obs_field(f, chain) for f in fields), action, Rate(25.0, 0.02))
    )


class Beat:
    """The loop with everything it needs, armed and moving slowly.

    Args:
        rate_hz: Control rate [Hz].
        clock: The loop's time.
    """

    def __init__(self, rate_hz: float, clock: realtime.Clock) -> None:
        self._arm, self._clock = load_arm("ur5e"), clock
        sealed, driver = contract_of(self._arm), Loopback("ur5e", rate_hz)
        self.mailbox = Mailbox(sizes_of(sealed.contract, self._arm))
        self.loop = Loop(driver, self._arm, sealed, self.mailbox, clock, LoopOptions(speed=SPEED))
        self._order, self._serial, self._there = records.empty(self.mailbox.operator.dtype), 0, False
        self.loop.tick()
        self.ask("rearm")

    def ask(self, op: str, *args: float) -> None:
        """Ask as an operator, and live through the tick that handles it."""
        self._serial += 1
        self._order["serial"], self._order["op"], self._order["args"] = self._serial, OPS[op], 0.0
        self._order["args"][: len(args)] = args
        self.mailbox.operator.publish(self._order)
        self.loop.tick()

    def keep_moving(self) -> None:
        """Begin a move if none is under way."""
        if self.loop.ladder.mode == Mode.IDLE:
            self._there = not self._there
            self.ask("move_to", *(self._arm.home + (1.0 if self._there else 0.0)))

    def slice(self, seconds: float) -> dict[str, Any]:
        """Live through `seconds` in real time; return lateness and compute time of every tick [ns]."""
        self.keep_moving()
        self.mailbox.ticks.drain()
        rows = np.zeros(0, self.mailbox.ticks.dtype)
        until = self._clock.now_ns() + round(1e9 * seconds)
        parts = []
        while self._clock.now_ns() < until:
            chunk = min(until, self._clock.now_ns() + round(1e9))
            pace.run(_Until(self.loop, self._clock, chunk), self._clock, lambda: False)
            parts.append(self.mailbox.ticks.drain().copy())
        rows = np.concatenate(parts)
        return {"wakeup_ns": rows["wakeup_ns"].tolist(), "compute_ns": rows["compute_ns"].tolist()}

    def allocations(self) -> dict[str, int]:
        """Count what `TICKS` ticks keep of what they allocate, and the collections that they cause."""
        for count in (3000, TICKS):  # first, what is remembered of a question has to fill
            blocks, collected = sys.getallocatedblocks(), sum(stat["collections"] for stat in gc.get_stats())
            for _ in range(count):
                self.loop.tick()
                if self.mailbox.ticks.drain().shape[0] == 0:
                    raise AssertionError("a tick left no record")
        return {
            "blocks": sys.getallocatedblocks() - blocks,
            "collections": sum(stat["collections"] for stat in gc.get_stats()) - collected,
        }


def floor(seconds: float, length_ns: int, dt_ns: int, clock: realtime.Clock) -> dict[str, Any]:
    """Live through `seconds` of ticks that only look at the clock, for `length_ns` each; return their times [ns]."""
    idle = _Idle(length_ns, dt_ns, round(seconds * 1e9 / dt_ns), clock)
    pace.run(idle, clock, lambda: False)
    return {"compute_ns": idle.spent.tolist()}


class _Idle:
    """A loop whose ticks compute nothing, and leaves after so many of them."""

    def __init__(self, length_ns: int, dt_ns: int, ticks: int, clock: realtime.Clock) -> None:
        self._length_ns, self._clock, self._at = length_ns, clock, 0
        self.dt_ns, self.left, self.spent = dt_ns, False, np.zeros(ticks, np.int64)

    def tick(self, wakeup_ns: int, overruns: int) -> None:
        began = ended = self._clock.now_ns()
        while ended - began < self._length_ns:
            ended = self._clock.now_ns()
        self.spent[self._at] = ended - began
        self._at += 1
        self.left = self._at == len(self.spent)

    def leave(self) -> None:
        self.left = True


class _Until:
    """A loop that leaves at a given time, between two ticks and without a stop."""

    def __init__(self, loop: Loop, clock: realtime.Clock, until_ns: int) -> None:
        self._loop, self._clock, self._until_ns = loop, clock, until_ns
        self.dt_ns, self.left = loop.dt_ns, False

    def tick(self, wakeup_ns: int, overruns: int) -> None:
        self._loop.tick(wakeup_ns, overruns)
        self.left = self._clock.now_ns() >= self._until_ns

    def leave(self) -> None:
        self.left = True


def main(rate_hz: float, core: int) -> None:
    """Answer slices until standard input ends."""
    beat = Beat(rate_hz, realtime.RealClock())
    beat.slice(0.2)
    kept = beat.allocations()  # before it takes its rank: ticks without a pause would keep everybody else off the core
    print(json.dumps({"missing": realtime.enter(core), "allocations": kept}), flush=True)
    for line in sys.stdin:
        seconds, *length_ns = line.split()
        lived = floor(float(seconds), int(length_ns[0]), beat.loop.dt_ns, realtime.RealClock()) if length_ns else None
        print(json.dumps(lived or beat.slice(float(seconds))), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
