"""The laws that every environment keeps, yours as well: the rules of Gymnasium and SB3, its bits, nothing shared."""

import hashlib
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, cast

import gymnasium
import numpy as np

from robostral.extras import require
from robostral_sims.catalogue import Entry, catalogue
from robostral_sims.engines import engine_names
from robostral_sims.env import CellEnv

Options = dict[str, Any]
"""What `gymnasium.make` takes, its `id` among them."""
_ROLLOUT_STEPS = 25
_CHILD = "import json, sys; from robostral_sims.conformance import digest; print(*map(digest, json.loads(sys.argv[1])))"


@dataclass(frozen=True)
class Outcome:
    """How an environment did under one law.

    Attributes:
        law: What the law says.
        fault: What was wrong; empty where nothing was.
        seconds: How long it took [s].
    """

    law: str
    fault: str
    seconds: float


def pairs() -> list[tuple[Entry, str]]:
    """List every cell with every engine."""
    return list(product(catalogue(), engine_names()))


def pairwise() -> list[tuple[Entry, str]]:
    """List few cells with engines, so that each arm occurs, and each task on each engine."""
    chosen: list[tuple[Entry, str]] = []
    seen: set[tuple[str, str]] = set()
    for turn, entry in enumerate(catalogue()):
        engines = engine_names()
        for engine in engines[turn % len(engines) :] + engines[: turn % len(engines)]:
            met = {(entry.task, engine), (entry.arm, "")}
            if not met <= seen:
                chosen.append((entry, engine))
                seen |= met
    return chosen


def options_of(entry: Entry, engine: str) -> Options:
    """Return what `make` takes for a cell on an engine."""
    return {"id": f"robostral_sims:{entry.env_id}", "arm": entry.arm, "cell": entry.cell, "engine": engine}


def make(options: Options) -> CellEnv:
    """Make an environment as a user does, without the wrappers of Gymnasium."""
    return cast(CellEnv, gymnasium.make(**options).unwrapped)


def examine(options: Options) -> Iterator[Outcome]:
    """Hold an environment against every law, one after the other.

    Args:
        options: What `gymnasium.make` takes.
    """
    for law in LAWS:
        began, fault = time.perf_counter(), ""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                law(options)
        except Exception as error:  # whatever an environment does wrong is the answer
            fault = f"{type(error).__name__}: {error}".splitlines()[0]
        yield Outcome((law.__doc__ or "").split("\n")[0].rstrip("."), fault, time.perf_counter() - began)


def rollout(env: CellEnv, seed: int, steps: int = _ROLLOUT_STEPS) -> Iterator[bytes]:
    """Play an episode with random actions; yield every bit of what is seen, step by step."""
    rng = np.random.default_rng(seed)
    obs, info = env.reset(seed=seed)
    yield obs.tobytes() + json.dumps(info["plant"]).encode()
    for _ in range(steps):
        action = rng.uniform(-1.0, 1.0, env.contract.chunk_shape).astype(np.float32)
        obs, reward, terminated, truncated, info = env.step(action)
        yield obs.tobytes() + np.float64(reward).tobytes() + info["reason"].encode()
        if terminated or truncated:
            return


def digest(options: Options) -> str:
    """Return the SHA-256 of an episode of a fresh environment."""
    env = make(options)
    try:
        return hashlib.sha256(b"".join(rollout(env, 7))).hexdigest()
    finally:
        env.close()


def keeps_gymnasiums_rules(options: Options) -> None:
    """Gymnasium's checker passes, warnings being errors."""
    from gymnasium.utils.env_checker import check_env

    env = make({**options, "render_mode": "rgb_array"})
    check_env(env)
    env.close()


def keeps_sb3s_rules(options: Options) -> None:
    """Stable-Baselines3's checker passes, warnings being errors."""
    checker = require("stable_baselines3.common.env_checker", "train")
    env = make({**options, "render_mode": "rgb_array"})
    checker.check_env(env, warn=True, skip_render_check=False)
    env.close()


def survives_random_steps(options: Options, steps: int = 1000) -> None:
    """1,000 random steps stay inside the spaces, and episodes end with a reason."""
    env = make(options)
    env.action_space.seed(1)
    env.reset(seed=1)
    for _ in range(steps):
        obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
        _claim(obs in env.observation_space, "an observation outside its space")
        _claim(bool(np.isfinite(reward)), "a reward that is no number")
        _claim((terminated or truncated) == (info["reason"] != "running"), f"an end without a reason: {info['reason']}")
        if terminated or truncated:
            env.reset()
    env.close()


def closes_twice(options: Options) -> None:
    """Closing twice is harmless, and a reset opens it again with the same bits."""
    env = make(options)
    first = b"".join(rollout(env, 3))
    env.close()
    env.close()
    _claim(b"".join(rollout(env, 3)) == first, "other bits after it was closed")
    env.close()


def repeats_its_bits(options: Options) -> None:
    """The same seed gives the same bits after other episodes, and after resets before anything has moved."""
    env = make(options)
    first = b"".join(rollout(env, 7))
    for seed in (7, 3, 7):
        env.reset(seed=seed)
    _claim(b"".join(rollout(env, 7)) == first, "other bits after resets before anything has moved")
    for _ in rollout(env, 4, 150):
        pass
    _claim(b"".join(rollout(env, 7)) == first, "other bits after another episode")
    env.close()


def shares_nothing(options: Options) -> None:
    """Two environments in one process share nothing."""
    one, other = make(options), make(options)
    alone = list(rollout(one, 5))
    noise = rollout(other, 6, 10 * _ROLLOUT_STEPS)
    together = []
    for bits in rollout(one, 5):
        together.append(bits)
        next(noise, None)
    _claim(together == alone, "other bits while another environment ran")
    one.close()
    other.close()


def agrees_with_another_process(*many: Options) -> None:
    """A fresh process sees the same bits."""
    child = subprocess.Popen([sys.executable, "-c", _CHILD, json.dumps(many)], stdout=-1, stderr=-1, text=True)
    ours = [digest(options) for options in many]
    theirs, complaint = child.communicate()
    _claim(child.returncode == 0, f"a child process ended: {complaint.strip()[-200:]}")
    different = [options for options, one, other in zip(many, ours, theirs.split(), strict=True) if one != other]
    _claim(not different, f"other bits in another process: {different}")


def _claim(fact: bool, otherwise: str) -> None:
    if not fact:
        raise AssertionError(otherwise)


LAWS: tuple[Callable[[Options], None], ...] = (
    keeps_gymnasiums_rules,
    keeps_sb3s_rules,
    survives_random_steps,
    closes_twice,
    repeats_its_bits,
    shares_nothing,
    agrees_with_another_process,
)
"""What every environment is held against."""
