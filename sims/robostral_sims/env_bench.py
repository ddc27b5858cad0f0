"""The figures of `robostral bench env`."""

import hashlib
import json
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from robostral.errors import ConfigError
from robostral_sims.catalogue import catalogue, find
from robostral_sims.engines import engine_names
from robostral_sims.env import CellEnv
from robostral_sims.episodes import pilot_of
from robostral_sims.scores import Score, score
from robostral_sims.vector import make_vec

CLOCK = time.process_time
"""Time of this process alone, so that other work on the machine does not count."""
VECTOR_N, VECTOR_WORKERS = 32, 2

PEER = """
import json, sys, time
import gymnasium, panda_gym
env = gymnasium.make("PandaPickAndPlace-v3")
env.reset(seed=0); env.action_space.seed(0)
steps = int(sys.argv[1])
begin = time.process_time()
for _ in range(steps):
    *_, terminated, truncated, _ = env.step(env.action_space.sample())
    if terminated or truncated:
        env.reset()
used = time.process_time() - begin
print(json.dumps({"steps_per_s": steps / used, "dt_s": env.unwrapped.sim.dt, "version": panda_gym.__version__}))
"""
"""Random actions in panda-gym's pick and place, resets counted."""


def run(cell: str, steps: int, rounds: int, episodes: int, peer_python: Path | None) -> dict[str, Any]:
    """Measure everything; see `robostral_sims.bench_commands.env`.

    Raises:
        ConfigError: A count is not positive, or the peer's Python cannot run panda-gym.
    """
    if min(steps, rounds, episodes) < 1:
        raise ConfigError(f"{steps} steps, {rounds} rounds, {episodes} episodes: at least one of each")
    entry = find(cell)
    options: dict[str, Any] = {"task": entry.task, "arm": entry.arm, "cell": entry.cell}
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(random_steps_per_s(options, steps))
        theirs.append(peer_steps_per_s(peer_python, steps) if peer_python else None)
    with_dt = CellEnv(**options)
    dt_s, settings = with_dt.contract.action.dt_s, _settings(with_dt)
    with_dt.close()
    median = statistics.median(ours)
    peers = [peer for peer in theirs if peer is not None]
    peer_s = statistics.median(peer["steps_per_s"] * peer["dt_s"] for peer in peers) if peers else None
    figures = {
        "settings": settings,
        "random_steps_per_s": median,
        "sim_seconds_per_s": median * dt_s,
        "panda_gym": {**peers[0], "sim_seconds_per_s": peer_s} if peers else "absent: no --peer-python",
        "sim_seconds_ratio_vs_panda_gym": median * dt_s / peer_s if peer_s else None,
        **expert_speed(options, steps),
        **reset_speed(options),
    }
    return {
        "env": {
            entry.cell.partition("-")[2]: figures,
            "reset_ms": figures["reset_ms"],
            **vector_scaling(options, steps, rounds),
            "experts": experts(episodes),
        }
    }


def _settings(env: CellEnv) -> dict[str, Any]:
    return {"cell": env.options["cell"], "engine": env.options["engine"], "control_hz": env.control_hz,
            "policy_hz": env.contract.rate.policy_hz, "randomised": env.options["randomize"]}  # fmt: skip


def random_steps_per_s(options: dict[str, Any], steps: int, clock: Callable[[], float] = CLOCK) -> float:
    """Time random actions, resets counted [policy steps per second]."""
    env = CellEnv(**options)
    act = pilot_of(env, "random", 0)
    obs, _ = env.reset(seed=0)
    begin = clock()
    for _ in range(steps):
        obs, _, terminated, truncated, _ = env.step(act(obs))
        if terminated or truncated:
            obs, _ = env.reset()
    used_s = clock() - begin
    env.close()
    return steps / used_s


def peer_steps_per_s(python: Path, steps: int) -> dict[str, Any]:
    """Time the same in panda-gym, in a process of its own environment.

    Raises:
        ConfigError: It does not run there.
    """
    done = subprocess.run([str(python), "-c", PEER, str(steps)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(f"{python} does not run panda-gym: {done.stderr.strip().splitlines()[-1:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def expert_speed(options: dict[str, Any], steps: int) -> dict[str, float]:
    """Time steps with the expert in contact, resets not counted; then, again, the engine's own stepping inside them."""
    env = CellEnv(**options)
    _expert_s(env, 10, CLOCK)  # compiles
    used_s = _expert_s(env, steps, CLOCK)
    with stepping_s(time.perf_counter) as inside_s:
        share = inside_s, _expert_s(env, steps, time.perf_counter)
    env.close()
    return {"expert_steps_per_s": steps / used_s, "step_share": share[0][0] / share[1]}


def _expert_s(env: CellEnv, steps: int, clock: Callable[[], float]) -> float:
    total_s, done, seed = 0.0, True, 0
    for _ in range(steps):
        if done:
            obs, _ = env.reset(seed=seed)
            seed += 1
        begin = clock()
        obs, _, terminated, truncated, _ = env.step(env.to_action(env.expert(obs)))
        total_s += clock() - begin
        done = terminated or truncated
    return total_s


@contextmanager
def stepping_s(clock: Callable[[], float]) -> Iterator[list[float]]:
    """Add up the time inside PyBullet's own step, in a list of one number [s]."""
    import pybullet

    original, inside_s = pybullet.stepSimulation, [0.0]

    def timed(client: int) -> None:  # as bare as it can be: what it costs itself counts as ours
        begin = clock()
        original(client)
        inside_s[0] += clock() - begin

    pybullet.stepSimulation = timed
    try:
        yield inside_s
    finally:
        pybullet.stepSimulation = original


def reset_speed(options: dict[str, Any], n: int = 50) -> dict[str, Any]:
    """Time resets [ms], and compare the bits of a reset after an episode's first steps with those of the first one."""
    env = CellEnv(**options)
    act = pilot_of(env, "random", 1)
    times, digests = [], set()
    for _ in range(n):
        begin = CLOCK()
        obs, _ = env.reset(seed=7)
        times.append(1e3 * (CLOCK() - begin))
        seen = [obs.tobytes()]
        fixed = np.random.default_rng(0)
        for _ in range(3):
            action = fixed.uniform(-1.0, 1.0, env.contract.chunk_shape).astype(np.float32)
            seen.append(env.step(action)[0].tobytes())
        digests.add(hashlib.sha256(b"".join(seen)).hexdigest())
        env.step(act(obs))
    env.close()
    return {"reset_ms": statistics.median(times), "reset_bit_exact": len(digests) == 1}


def vector_scaling(options: dict[str, Any], steps: int, rounds: int) -> dict[str, Any]:
    """Time 32 environments in 2 processes against one alone, by the wall clock, in turn.

    The floor is what 2 processes that never wait for each other reach on these cores.
    """
    one: list[float] = []
    many: list[float] = []
    floor: list[float] = []
    rng, count = np.random.default_rng(0), max(1, steps // VECTOR_N)
    for _ in range(rounds):
        one.append(random_steps_per_s(options, steps, time.perf_counter))
        vector = make_vec(options["cell"], VECTOR_N, VECTOR_WORKERS)
        vector.reset(seed=0)
        actions = rng.uniform(-1.0, 1.0, (64, VECTOR_N, *vector.sealed.contract.chunk_shape)).astype(np.float32)
        vector.step(actions[0])
        begin = time.perf_counter()
        for index in range(count):
            vector.step(actions[index % len(actions)])
        many.append(count * VECTOR_N / (time.perf_counter() - begin))
        vector.close()
        floor.append(_apart_steps_per_s(options, steps))
    rates = {"1": statistics.median(one), str(VECTOR_WORKERS): statistics.median(many)}
    return {
        "vector_scaling_2": rates[str(VECTOR_WORKERS)] / rates["1"],
        "vector_scaling_2_floor": statistics.median(floor) / rates["1"],
        "vector_steps_per_s": rates,
    }


def _apart_steps_per_s(options: dict[str, Any], steps: int) -> float:
    with get_context("spawn").Pool(VECTOR_WORKERS) as pool:
        rates = [
            pool.starmap(random_steps_per_s, [(options, count, time.perf_counter)] * VECTOR_WORKERS, chunksize=1)
            for count in (50, steps)  # the first ones import and compile
        ]
    return sum(rates[-1])


def experts(episodes: int) -> list[Score]:
    """Let every expert play on every engine."""
    rows: list[Score] = []
    jobs = [(entry, engine) for entry in catalogue() for engine in engine_names()]
    with Progress(transient=True) as progress:
        bar = progress.add_task("experts", total=len(jobs) * episodes)
        for entry, engine in jobs:
            progress.update(bar, description=f"{entry.cell} on {engine}")
            rows.append(score(entry, engine, "expert", episodes, told=lambda: progress.advance(bar)))
    return rows
