"""Many robots at once from one process: each asks at its policy's rate, in its own phase, and waits for nobody."""

import heapq
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zmq

from robostral.contract import Sealed
from robostral.serving.client import PolicyClient
from robostral.serving.wire import ClientKeys, Status

GRACE_S = 1.0
"""How long the last answers may take."""
SEGMENTS = 10
"""How often one robot and several take turns."""


class Tally(NamedTuple):
    """What came back: round trips [µs], answers by status, and how many OK ones were older than their budget."""

    times_us: list[float]
    sent: int
    ok: int
    late: int
    over_budget: int
    lost: int
    """Not answered: the next request of the same robot came first, or could not leave."""


class Fleet:
    """Robots in session with a server.

    Args:
        endpoint: Where it serves.
        keys: The robots' keys.
        sealed: Their contract.
        robots: How many.
    """

    def __init__(self, endpoint: str, keys: ClientKeys, sealed: Sealed, robots: int) -> None:
        self.rate_hz = sealed.contract.rate.policy_hz
        self.budget_us = round(1e6 * sealed.contract.action.chunk_valid_s)
        self._obs = np.zeros(sealed.contract.obs_size, np.float32)
        self._clients = [PolicyClient(endpoint, keys, sealed.raw, f"robot-{i}") for i in range(robots)]
        self._poller, self._seq = zmq.Poller(), 0
        for client in self._clients:
            client.connect(10.0)
            self._poller.register(client.socket, zmq.POLLIN)
        self._by_socket = {client.socket: client for client in self._clients}

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()

    def drive(self, phases_s: Sequence[float], rounds: int) -> Tally:
        """Let one robot per phase ask `rounds` times at the policy's rate; return what came back."""
        sent_at: dict[tuple[PolicyClient, int], float] = {}
        times: list[float] = []
        ok = late = over = 0
        begin = time.perf_counter() + 0.01
        due = [(begin + phase, robot, 0) for robot, phase in enumerate(phases_s)]
        heapq.heapify(due)
        total, first = len(due) * rounds, self._seq
        self._seq += rounds
        deadline = begin + rounds / self.rate_hz + max(phases_s) + GRACE_S
        while len(times) < total and (now := time.perf_counter()) < deadline:
            while due and due[0][0] <= now:
                at, robot, i = heapq.heappop(due)
                client = self._clients[robot]
                sent_at[client, first + i] = time.perf_counter()
                client.send(self._obs, 1, first + i, 0, budget_us=self.budget_us)
                if i + 1 < rounds:
                    heapq.heappush(due, (at + 1 / self.rate_hz, robot, i + 1))
            left = due[0][0] - time.perf_counter() if due else GRACE_S
            # The poller counts in milliseconds: the rest of the way to the next request is spun.
            for socket, _ in self._poller.poll(max(0, int(1000 * left))):
                client = self._by_socket[socket]
                while (reply := client.receive()) is not None:
                    times.append(1e6 * (time.perf_counter() - sent_at.pop((client, reply.seq))))
                    ok += reply.status == Status.OK
                    late += reply.status == Status.LATE
                    over += reply.status == Status.OK and reply.total_us > self.budget_us
        return Tally(times, total, ok, late, over, total - len(times))


def throughput(fleet: Fleet, pid: int, seconds: float, robots: int = 64) -> dict[str, Any]:
    """Let all robots ask at their rate, evenly spread; return the server's processor time per request.

    Args:
        fleet: The robots.
        pid: The server's process.
        seconds: How long.
        robots: How many of them.
    """
    phases = [i / robots / fleet.rate_hz for i in range(robots)]
    fleet.drive(phases, 5)
    before, start = _cpu_s(pid), time.perf_counter()
    tally = fleet.drive(phases, round(seconds * fleet.rate_hz))
    spent, took = _cpu_s(pid) - before, time.perf_counter() - start
    return {
        "robots": robots,
        "requests": tally.sent,
        "requests_per_s": tally.sent / took,
        "cpu_us_per_request": 1e6 * spent / tally.sent,
        "late": tally.late,
        "lost": tally.lost,
        "answered_over_budget": tally.over_budget,
    }


def batch(fleet: Fleet, n: int, robots: int = 8, seed: int = 0) -> dict[str, Any]:
    """Time round trips of one robot and of several, in turns: in phases of their own, and all at the same moment.

    Args:
        fleet: The robots.
        n: Round trips of each kind.
        robots: How many are several.
        seed: Of the phases.
    """
    rng = np.random.default_rng(seed)
    period, rounds = 1 / fleet.rate_hz, max(n // SEGMENTS, 5)
    kinds: dict[str, Callable[[], tuple[list[float], int]]] = {
        "1_robot": lambda: ([0.0], rounds),
        f"{robots}_robots": lambda: (list(rng.uniform(0, period, robots)), max(rounds // robots, 2)),
        f"{robots}_robots_at_once": lambda: ([0.0] * robots, max(rounds // robots, 2)),
    }
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(SEGMENTS):
        for name, kind in kinds.items():
            times[name] += fleet.drive(*kind()).times_us
    figures: dict[str, Any] = {
        name: {"n": len(found)} | {f"p{q}_us": float(np.percentile(found, q)) for q in (50, 95, 99)}
        for name, found in times.items()
    }
    for name in list(kinds)[1:]:
        figures[name]["p95_ratio_vs_1"] = figures[name]["p95_us"] / figures["1_robot"]["p95_us"]
    return figures


def _cpu_s(pid: int) -> float:
    """Read a process's own processor time so far, user and system, all threads [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / float(os.sysconf("SC_CLK_TCK"))
