"""A recorded episode: all that plays it again bit for bit, as JSON. Trainings leave one where something went wrong."""

import os
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from robostral.errors import ConfigError


class Episode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an environment was asked in one episode, and how that ended.

    Attributes:
        env: Gymnasium id.
        kwargs: What it was made with.
        seed: What it was reset with.
        actions: One per step, each of the action's shape, nested lists of float32 values.
        success: As the environment said at the end.
        reason: Why it ended, in the environment's word, or what was wrong.
        options: What `reset` was given beside the seed.
        contract: Identity of the environment's contract; empty if it has none.
        digest: SHA-256 of all observations, the first one included; empty if nobody took it.
    """

    env: str
    kwargs: dict[str, Any]
    seed: int
    actions: list[Any]
    success: bool
    reason: str
    options: dict[str, Any] | None = None
    contract: str = ""
    digest: str = ""
    format: Literal["robostral.episode/1"] = "robostral.episode/1"

    @property
    def steps(self) -> NDArray[np.float32]:
        """The actions, shape (steps, *action shape)."""
        return np.asarray(self.actions, dtype=np.float32)

    def save(self, path: Path) -> Path:
        """Write the record whole or not at all; return `path`.

        Raises:
            ConfigError: The disk refuses.
        """
        fresh = path.with_name(f".{path.name}.new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with fresh.open("wb") as file:
                file.write(msgspec.json.encode(self))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error.strerror}") from error
        return path

    @classmethod
    def load(cls, path: Path) -> "Episode":
        """Read a record.

        Raises:
            ConfigError: The file is not there, or is no episode of a known format.
        """
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        except msgspec.DecodeError as error:
            raise ConfigError(f"{path} is no recorded episode: {error}") from error
