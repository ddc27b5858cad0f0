"""What Stable-Baselines3 knows between two segments, as plain arrays: no pickle, as its own files would need."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robostral_policies.checkpoint import Checkpoint

_LEARNED, _SEEN = "learned-{:04d}.safetensors", "seen-{:04d}.safetensors"
_COUNTERS = ("num_timesteps", "_n_updates", "_episode_num")
_SEEN_ARRAYS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts", "ep_start", "ep_length")

Arrays = dict[str, NDArray[Any]]


def save(model: Any, checkpoint: Checkpoint, number: int) -> dict[str, str]:
    """Save networks, optimisers, counters and replay buffer; return the digest of each file by its name."""
    learned: Arrays = {name: np.array([getattr(model, name)], np.int64) for name in _COUNTERS}
    for name, state in model.get_parameters().items():
        learned |= _flat(f"{name}:", state)
    learned |= {f"{name}=": getattr(model, name).detach().cpu().numpy().copy() for name in _tensors(model)}
    files = {_LEARNED.format(number): checkpoint.put_arrays(_LEARNED.format(number), learned)}
    if (buffer := getattr(model, "replay_buffer", None)) is not None:
        seen: Arrays = {"at": np.array([buffer.pos, buffer.full], np.int64)}
        used = buffer.buffer_size if buffer.full else buffer.pos
        for name, array in _replay(buffer).items():
            seen[name] = np.ascontiguousarray(array[:used])
        if hasattr(buffer, "_current_ep_start"):
            seen["episode_start"] = buffer._current_ep_start.copy()
        files[_SEEN.format(number)] = checkpoint.put_arrays(_SEEN.format(number), seen)
    return files


def load(model: Any, checkpoint: Checkpoint, files: dict[str, str]) -> None:
    """Put a saved state into a freshly made learner of the same recipe.

    Raises:
        TrainingError: A file is missing, or is not the one that was saved.
    """
    arrays = {name.partition("-")[0]: checkpoint.get_arrays(name, digest) for name, digest in files.items()}
    learned = arrays["learned"]
    for name in _COUNTERS:
        setattr(model, name, int(learned[name][0]))
    fresh = model.get_parameters()
    model.set_parameters({name: _nested(f"{name}:", learned, state) for name, state in fresh.items()})
    with torch.no_grad():
        for name in _tensors(model):
            getattr(model, name).copy_(torch.from_numpy(learned[f"{name}="].copy()))
    if "seen" in arrays:
        buffer, seen = model.replay_buffer, arrays["seen"]
        buffer.pos, buffer.full = int(seen["at"][0]), bool(seen["at"][1])
        for name, array in _replay(buffer).items():
            array[: len(seen[name])] = seen[name]
        if hasattr(buffer, "_current_ep_start"):
            buffer._current_ep_start[:] = seen["episode_start"]


def _tensors(model: Any) -> list[str]:
    """Name the learner's trained tensors that belong to no network, such as the entropy coefficient."""
    names: list[str] = model._get_torch_save_params()[1]
    return names


def _replay(buffer: Any) -> Arrays:
    """List the arrays of a replay buffer by name, those of dict observations one by one."""
    found: Arrays = {}
    for name in _SEEN_ARRAYS:
        value = getattr(buffer, name, None)
        if isinstance(value, dict):
            found |= {f"{name}.{key}": array for key, array in value.items()}
        elif value is not None:
            found[name] = value
    return found


def _flat(prefix: str, state: Any) -> Arrays:
    """Flatten a state dict, of a network or of an optimiser, to arrays by path; plain settings are left out."""
    found: Arrays = {}
    for key, value in state.items():
        if isinstance(value, torch.Tensor):
            found[f"{prefix}{key}"] = value.detach().cpu().numpy().copy()
        elif isinstance(value, dict):
            found |= _flat(f"{prefix}{key}/", value)
    return found


def _nested(prefix: str, arrays: Arrays, like: dict[str, Any]) -> dict[str, Any]:
    """Rebuild the state dict that `_flat` took apart; `like` gives the plain settings."""
    flat = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
    tensors = {key: torch.from_numpy(value.copy()) for key, value in flat.items()}
    if "param_groups" not in like:
        return tensors
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        _, index, name = key.split("/")
        state.setdefault(int(index), {})[name] = tensor
    return {"state": state, "param_groups": like["param_groups"]}
