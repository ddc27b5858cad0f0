"""A training's folder: one record of where it stands, and arrays beside it; whatever is there is whole.

Each file is written under another name, flushed to the disk and renamed. `state.json` comes last and names the others
with their digests, so an interruption at any moment leaves the previous state.

A round draws everything random from streams named by (seed, round, episode) and fits with a fresh optimiser: no
generator and no moment estimate outlives it, and a resumed training is the unbroken one, bit for bit.
"""

import hashlib
import os
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from robostral_policies.config import TrainConfig, TrainingError

STATE = "state.json"
WEIGHTS = "actor-{:03d}.safetensors"
DATA = "data-{:03d}.safetensors"


class RoundLog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a round came to.

    Attributes:
        samples: Labelled observations of all rounds so far.
        clean_successes, clean_episodes: Episodes that the pilot of this round drove alone and undisturbed: the expert
            in the first round, afterwards the network of the round before.
        losses: Mean loss of each twentieth of the fit.
        seconds: Wall time [s].
    """

    samples: int
    clean_successes: int
    clean_episodes: int
    losses: tuple[float, ...]
    seconds: float


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a training stands: its recipe, the contract it trains for, and the rounds it has finished."""

    config: TrainConfig
    contract_sha256: str
    rounds: tuple[RoundLog, ...] = ()
    files: dict[str, str] = {}
    """Name -> SHA-256 of every array file that belongs to this state."""
    finished: bool = False
    format: Literal["robostral.training/1"] = "robostral.training/1"


class Checkpoint:
    """The folder of one training.

    Args:
        folder: Made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> State | None:
        """Read where the training stands; None if nothing was saved yet.

        Raises:
            TrainingError: The record is not one of this release.
        """
        path = self.folder / STATE
        if not path.is_file():
            return None
        try:
            return msgspec.json.decode(path.read_bytes(), type=State)
        except msgspec.DecodeError as error:
            raise TrainingError(f"{path}: {error}; delete the folder to start anew") from error

    def write(self, state: State) -> None:
        """Make `state` the record, and remove array files that it does not name.

        Raises:
            TrainingError: The disk refuses.
        """
        self.put(STATE, msgspec.json.format(msgspec.json.encode(state), indent=2))
        for path in self.folder.glob("*.safetensors"):
            if path.name not in state.files:
                path.unlink()

    def put(self, name: str, raw: bytes) -> None:
        """Write a file whole or not at all.

        Raises:
            TrainingError: The disk refuses.
        """
        path, fresh = self.folder / name, self.folder / f".{name}.new"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with fresh.open("wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
            descriptor = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise TrainingError(f"cannot write {path}: {error.strerror}") from error

    def put_arrays(self, name: str, arrays: dict[str, NDArray[Any]]) -> str:
        """Save arrays under `name`; return the SHA-256 of the file.

        Raises:
            TrainingError: The disk refuses.
        """
        raw = save_arrays(arrays)
        self.put(name, raw)
        return hashlib.sha256(raw).hexdigest()

    def get_arrays(self, name: str, digest: str) -> dict[str, NDArray[Any]]:
        """Load arrays that a state names.

        Raises:
            TrainingError: The file is missing, or not the one that was saved.
        """
        path = self.folder / name
        try:
            raw = path.read_bytes()
            if hashlib.sha256(raw).hexdigest() != digest:
                raise TrainingError(f"{path} is not the file that was saved; delete the folder to start anew")
            return load_arrays(raw)
        except (OSError, SafetensorError) as error:
            raise TrainingError(f"cannot read {path}: {error}; delete the folder to start anew") from error


def arrays_of(module: torch.nn.Module) -> dict[str, NDArray[np.float32]]:
    """Copy a network's parameters and buffers to arrays by name."""
    return {name: value.detach().numpy().copy() for name, value in module.state_dict().items()}


def restore(module: torch.nn.Module, arrays: dict[str, NDArray[np.float32]]) -> None:
    """Put arrays from `arrays_of` back into a network of the same shape."""
    module.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in arrays.items()})
