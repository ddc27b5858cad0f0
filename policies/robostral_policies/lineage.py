"""Where weights come from: revision, package versions, machine."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from robostral.bundle import Lineage
from robostral.revision import revision
from robostral_policies.checkpoint import State

_PACKAGES = (
    "robostral", "numpy", "numba", "torch", "onnx", "onnxruntime", "gymnasium", "pybullet", "mujoco",
    "stable-baselines3", "sb3-contrib",
)  # fmt: skip


def lineage_of(state: State) -> Lineage:
    """Describe where the weights of a finished training come from."""
    return Lineage(
        environment=state.config.env,
        engine=state.config.engine,
        config_sha256=state.config.digest,
        seed=state.config.seed,
        git_revision=revision(),
        packages=packages(),
        environment_kwargs=state.config.kwargs,
        data={name: digest for name, digest in state.files.items() if name.startswith("data")},
    )


def packages() -> dict[str, str]:
    """List the versions of the packages that shape weights, as far as they are installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine(workers: int, device: str = "cpu") -> str:
    """Describe this machine, the number of worker processes, and where torch computed."""
    where = "" if device == "cpu" else f", {torch.cuda.get_device_name(device)}"
    return f"{os.cpu_count()} x {_processor()}{where}, {platform.system()}, {workers} worker processes"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
