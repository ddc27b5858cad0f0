"""A vector of environments shows what each of them would show alone."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from robostral_sims.env import CellEnv, EnvError
from robostral_sims.vector import make_vec

from robostral.errors import UnknownName


@pytest.fixture(scope="module")
def vector():
    vector = make_vec("Reach", 3, workers=2)
    yield vector
    vector.close()
    vector.close()


def test_every_row_is_the_environment_of_its_seed_also_beyond_an_episodes_end(vector):
    rng, env = np.random.default_rng(0), CellEnv()
    seen, _ = vector.reset(seed=5)
    rows, rewards, ends = [seen[1]], [], 0
    actions = rng.uniform(-1, 1, (160, 3, 3, 6)).astype(np.float32)
    for action in actions:
        obs, reward, terminated, truncated, infos = vector.step(action)
        rows.append(obs[1])
        rewards.append(reward[1])
        ended = bool(terminated[1] or truncated[1])
        ends += ended
        assert ended == bool("_final_info" in infos and infos["_final_info"][1])
    alone, _ = env.reset(seed=6)
    assert ends > 0, "an episode of 6 s ends within 160 steps"
    for i, action in enumerate(actions[:, 1]):
        np.testing.assert_array_equal(alone, rows[i])
        alone, reward, terminated, truncated, _ = env.step(action)
        assert reward == rewards[i]
        if terminated or truncated:
            alone, _ = env.reset()
    env.close()


def test_what_makes_no_sense_is_named_and_the_workers_live_on(vector):
    vector.reset(seed=0)
    with pytest.raises(EnvError, match="shape"):
        vector.step(np.zeros((2, 3, 6), np.float32))
    with pytest.raises(EnvError, match="NaN"):
        vector.step(np.full((3, 3, 6), np.nan, np.float32))
    assert vector.reset(seed=0)[0].shape == (3, 27)
    for bad in ({"n": 0}, {"n": 2, "workers": -1}):
        with pytest.raises(EnvError, match="at least one"):
            make_vec("Reach", **bad)
    with pytest.raises(UnknownName, match="did you mean 'Reach'"):
        make_vec("Reech", 2)


def test_a_worker_that_is_gone_is_named():
    vector = make_vec("Reach", 2)
    vector.reset(seed=0)
    (_, child), *_ = vector._workers
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    with pytest.raises(EnvError, match="a worker process is gone"):
        vector.step(vector.action_space.sample())
    vector.close()


CODE = """
import signal
from robostral_sims.vector import make_vec
if __name__ == "__main__":
    vector = make_vec("Reach", 2)
    vector.reset(seed=0)
    try:
        print(*(child.pid for _, child in vector._workers), flush=True)
        signal.pause()
    except KeyboardInterrupt:
        print("closing", flush=True)
        vector.step(vector.action_space.sample())
        vector.close()
        print("closed", flush=True)
"""


def test_ctrl_c_reaches_the_parent_alone_which_then_ends_the_workers(tmp_path):
    (tmp_path / "program.py").write_text(CODE)
    program = subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py")], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    worker = int(program.stdout.readline())
    os.killpg(program.pid, signal.SIGINT)
    out, _ = program.communicate(timeout=60)
    assert out.split() == ["closing", "closed"]
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
