"""A model's first contact with ONNX Runtime: in a child process that can open no file and outgrow no bound.

The child answers one fixed probe with every number of rows that a request may have. As no size in an accepted model
depends on what is observed (`robostral.bundle.check`), it has then done all that the model can ask of this process.
"""

import hashlib
import logging
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robostral.bundle.manifest import MODEL, PROBES
from robostral.bundle.read import Bundle
from robostral.contract import Contract
from robostral.errors import BundleRefused
from robostral.extras import require

TOLERANCE = 1e-5
"""Greatest difference of an answer from the manifest's, in units of max(1, |answer|)."""
MEMORY = 512 << 20
"""Address space that the child may take beyond what its libraries need [bytes]; Linux only."""
CPU_S = 10
"""Processor time that the child may take [s]; not on Windows."""
WALL_S = 60.0
"""Time after which the child is ended [s]."""

_CHILD = Path(__file__).with_name("trial_child.py")
_REFUSED = 3
_answers: dict[bytes, NDArray[np.float32]] = {}
_log = logging.getLogger("robostral.bundle")


def probe(obs_size: int) -> NDArray[np.float32]:
    """Return the observations of every trial, shape (PROBES, obs_size): fixed, exact in float32, in [-1, 1]."""
    row, at = np.arange(PROBES)[:, None], np.arange(obs_size)
    # Rows of growing size, so that a policy's bounded outputs are not all at their bounds.
    return (((37 * row * (2 * at + 1) + 11 * at) % 33 - 16) / 16.0 * 0.25 ** (PROBES - 1 - row)).astype(np.float32)


def answer(model: bytes, contract: Contract, max_batch: int) -> NDArray[np.float32]:
    """Return a model's chunks for `probe`, shape (PROBES, horizon, n), computed in a child process.

    The child runs once for the same arguments in one process.

    Raises:
        MissingExtra: onnxruntime is not installed.
        BundleRefused: The model ended the child, took too much time or memory, was refused by onnxruntime, answers
            with other shapes or non-finite numbers, or answers a row differently when it is not alone.
    """
    require("onnxruntime", "serve")
    sizes = (contract.obs_size, *contract.chunk_shape, max_batch)
    key = hashlib.sha256(repr(sizes).encode() + model).digest()
    if key not in _answers:
        if sys.platform != "linux":
            _log.warning("a model's first load is bounded in time only: %s limits no address space", sys.platform)
        raw = _run_child(probe(contract.obs_size).tobytes() + model, sizes)
        chunks = np.frombuffer(raw, np.float32).reshape(PROBES, *contract.chunk_shape)
        if not np.isfinite(chunks).all():
            raise BundleRefused(f"{MODEL}: answers the probe with numbers that are not finite")
        _answers[key] = chunks
    return _answers[key]


def prove(bundle: Bundle) -> None:
    """Try a verified bundle's model in a child, and compare its answers with the manifest's.

    Raises:
        MissingExtra: onnxruntime is not installed.
        BundleRefused: See `answer`; or the answers are not those that the manifest holds.
    """
    compare(bundle, answer(bundle.model_bytes, bundle.sealed.contract, bundle.requirements.max_batch))


def compare(bundle: Bundle, found: NDArray[np.float32]) -> None:
    """Compare answers to `probe`, shape (PROBES, horizon, n), with the manifest's.

    Raises:
        BundleRefused: They differ, or are not finite.
    """
    golden = np.array(bundle.manifest.golden)
    error = float(np.max(np.abs(found - golden) / np.maximum(1.0, np.abs(golden))))
    if not error <= TOLERANCE:
        raise BundleRefused(f"{MODEL}: answers differ from the manifest's golden ones by {error:.2g} > {TOLERANCE}")


def _run_child(given: bytes, sizes: tuple[int, ...]) -> bytes:
    _, horizon, n, _ = sizes
    size = PROBES * horizon * n * 4
    args = [str(number) for number in (PROBES, *sizes, MEMORY, CPU_S, TOLERANCE)]
    # A file of bounded size, not a pipe: whatever runs in the child, this process reads no more than it asked for.
    with tempfile.TemporaryFile() as report:
        try:
            done = subprocess.run(
                [sys.executable, "-P", str(_CHILD), *args],
                input=given,
                stdout=report,
                stderr=subprocess.DEVNULL,
                timeout=WALL_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise BundleRefused(f"{MODEL}: its first load took longer than {WALL_S:g} s") from error
        report.seek(0)
        said = report.read(max(size, 1 << 10) + 1)
    if done.returncode == 0 and len(said) == size:
        return said
    raise BundleRefused(f"{MODEL}: {_reason(done.returncode, said)}")


def _reason(code: int, said: bytes) -> str:
    if code == _REFUSED:
        return "".join(c if c.isprintable() else " " for c in said[:300].decode(errors="replace"))
    if code in {-signal.SIGXCPU, -signal.SIGKILL}:
        return f"its first load took more than {CPU_S} s of processor time, or the system ended it"
    return f"its first load ended onnxruntime with code {code}"
