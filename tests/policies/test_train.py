"""A training is a function of its recipe: workers, interruptions and repetition change nothing."""

import os
import random
import signal
import statistics
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console
from rich.progress import Progress
from robostral_policies.checkpoint import STATE, Checkpoint
from robostral_policies.config import NearConfig, TrainConfig, TrainingError, working_folder
from robostral_policies.rollout import Rollouts
from robostral_policies.train import train
from robostral_policies.training import Training

from robostral import bundle
from robostral.bundle import trust
from robostral.errors import ConfigError

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def unbroken(toy: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "toy-v1"
    train(toy, out, command="robostral train toy")
    return out


def test_a_training_ends_in_a_bundle_with_the_figures_of_its_run(unbroken: Path, toy: TrainConfig) -> None:
    loaded = bundle.load(unbroken)
    manifest = loaded.manifest
    assert loaded.signer is None
    assert manifest.metrics["none"].n == 40
    assert manifest.metrics["none"].rate >= 0.9
    assert manifest.metrics["none/nothing"].rate < 0.2
    assert manifest.parity.n == 300
    assert manifest.parity.max_abs_error <= 1e-5
    assert manifest.lineage.config_sha256 == toy.digest
    assert sorted(manifest.lineage.data) == [f"data-{i:03d}.safetensors" for i in range(3)]
    card = (unbroken / "CARD.md").read_text()
    assert "robostral train toy" in card
    assert f"{manifest.metrics['none'].successes} of 40" in card
    assert sorted(os.listdir(working_folder(unbroken))) >= ["actor-002.safetensors", "curve.svg"]


def test_two_workers_train_the_same_weights(unbroken: Path, toy: TrainConfig, tmp_path: Path) -> None:
    train(toy, tmp_path / "toy-v1", command="robostral train toy", workers=2)
    assert (tmp_path / "toy-v1/model.onnx").read_bytes() == (unbroken / "model.onnx").read_bytes()


def test_a_resumed_training_is_the_unbroken_one(unbroken: Path, toy: TrainConfig, tmp_path: Path) -> None:
    out = tmp_path / "toy-v1"
    for _ in range(2):
        with Rollouts(toy.env, 1) as rollouts, Progress(console=QUIET) as progress:
            checkpoint = Checkpoint(working_folder(out))
            Training.start(toy, checkpoint, rollouts, resume=checkpoint.read() is not None).play_round(progress)
    with pytest.raises(TrainingError, match="after round 2 of 3: add --resume"):
        train(toy, out, command="robostral train toy")
    other = replace(toy, fit=replace(toy.fit, batch=64))
    with pytest.raises(TrainingError, match=r"other figures: fit.batch 128 -> 64"):
        train(other, out, command="robostral train toy", resume=True)
    train(toy, out, command="robostral train toy", resume=True)
    assert (out / "model.onnx").read_bytes() == (unbroken / "model.onnx").read_bytes()


def test_ten_kills_at_random_moments_change_nothing(toy: TrainConfig, tmp_path: Path) -> None:
    longer = replace(toy, dagger=replace(toy.dagger, rounds=14))
    train(longer, tmp_path / "unbroken-v1", command="robostral train toy")
    finished = Checkpoint(working_folder(tmp_path / "unbroken-v1")).read()
    assert finished is not None
    round_s = statistics.median(log.seconds for log in finished.rounds)
    out, rng, kills, rounds = tmp_path / "toy-v1", random.Random(0), 0, set()
    for _ in range(10):
        saved = Checkpoint(working_folder(out)).read()
        rounds.add(len(saved.rounds) if saved else 0)
        options = {"command": "robostral train toy", "resume": saved is not None}
        child = get_context("fork").Process(target=train, args=(longer, out), kwargs=options)
        child.start()
        child.join(rng.uniform(0.5, 1.9) * round_s)  # less than two rounds each time: not done before the tenth
        child.kill()
        child.join()
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
        kills += 1
    assert kills >= 5  # all ten, but where the machine is suddenly much faster than in the unbroken run
    assert len(rounds) > 1  # they struck different rounds
    if not out.exists():
        train(longer, out, command="robostral train toy", resume=True)
    assert (out / "model.onnx").read_bytes() == (tmp_path / "unbroken-v1/model.onnx").read_bytes()


def test_ctrl_c_leaves_a_folder_to_resume_and_no_process(toy: TrainConfig, tmp_path: Path) -> None:
    preset, out = tmp_path / "toy.yaml", tmp_path / "toy-v1"
    long = replace(toy, dagger=replace(toy.dagger, rounds=500))
    preset.write_bytes(msgspec.yaml.encode(long))
    command = [sys.executable, "-m", "robostral", "train", str(preset), "--out", str(out), "--workers", "2"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    state = working_folder(out) / STATE
    while not state.is_file():
        assert child.poll() is None, child.communicate()[1]
        try:
            child.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    os.killpg(child.pid, signal.SIGINT)
    _, errors = child.communicate(timeout=30)  # ends when the last process that holds its pipes has ended
    assert child.returncode == 130
    assert "Traceback" not in errors
    assert "--resume" in errors
    saved = Checkpoint(working_folder(out)).read()
    assert saved is not None
    assert len(saved.rounds) >= 1
    assert not out.exists()


def test_a_key_signs_the_bundle(toy: TrainConfig, tmp_path: Path) -> None:
    private, public = trust.generate("owner", tmp_path / "keys")
    short = replace(toy, dagger=replace(toy.dagger, rounds=1), fit=replace(toy.fit, last_steps=20))
    out = tmp_path / "toy-v1"
    for _ in range(2):  # a finished training may be started anew, and its bundle is replaced
        train(short, out, command="robostral train toy", key=private)
    signer = bundle.load(out, plant="real", trusted_keys=public.parent).signer
    assert signer is not None
    assert signer.name == "owner"


def test_what_cannot_end_well_is_refused_before_any_work(toy: TrainConfig, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("mine")
    with pytest.raises(ConfigError, match=r"thesis\.tex"):
        train(toy, tmp_path / "full", command="")
    with pytest.raises(ConfigError, match="cannot read the key"):
        train(toy, tmp_path / "a", command="", key=tmp_path / "no.key")
    with pytest.raises(TrainingError, match="nothing to resume"):
        train(toy, tmp_path / "a", command="", resume=True)
    with pytest.raises(TrainingError, match="is not a bounded box"):
        train(replace(toy, env="CartPole-v1"), tmp_path / "a", command="")
    unknown = replace(toy, actor=replace(toy.actor, near={"eror": NearConfig(reach=1.0, fine=0.1)}))
    with pytest.raises(TrainingError, match=r"no group of the contract \(q, goal, error\)"):
        train(unknown, tmp_path / "a", command="")


def test_a_damaged_checkpoint_is_named(toy: TrainConfig, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path)
    with Rollouts(toy.env, 1) as rollouts, Progress(console=QUIET) as progress:
        Training.start(toy, checkpoint, rollouts, resume=False).play_round(progress)
        damaged = tmp_path / "data-000.safetensors"
        damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x7f")
        with pytest.raises(TrainingError, match=r"data-000\.safetensors is not the file that was saved"):
            Training.start(toy, checkpoint, rollouts, resume=True)
        (tmp_path / STATE).write_text("{")
        with pytest.raises(TrainingError, match="delete the folder"):
            Training.start(toy, checkpoint, rollouts, resume=True)
