"""Run a bundle's model with ONNX Runtime, in this process."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robostral.bundle.read import Bundle
from robostral.bundle.trial import compare, probe, prove
from robostral.contract import Sealed
from robostral.errors import BundleRefused, ConfigError, ContractMismatch
from robostral.extras import require

CPU = "CPUExecutionProvider"


class OnnxPolicy:
    """A `robostral.policy.Policy` over ONNX Runtime on one CPU thread; the model is first tried in a child process.

    Args:
        bundle: A verified bundle.
        provider: Name of onnxruntime's execution provider; what it answers is held against the manifest too.

    Raises:
        MissingExtra: onnxruntime is not installed.
        ConfigError: It has no such provider.
        BundleRefused: The model did not stand its trial; see `robostral.bundle.trial.prove`.
    """

    def __init__(self, bundle: Bundle, provider: str = CPU) -> None:
        self.provider = provider
        self._sealed = bundle.sealed
        self._max_rows = bundle.requirements.max_batch
        self._obs_size = bundle.sealed.contract.obs_size
        prove(bundle)
        self._session: Any = open_session(bundle.model_bytes, provider)
        compare(bundle, np.concatenate([self.infer(row[None]) for row in probe(self._obs_size)]))

    @property
    def sealed(self) -> Sealed:
        """The contract that this policy was trained for, with its identity."""
        return self._sealed

    def infer(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map observations, shape (rows, obs_size), to chunks, shape (rows, horizon, n), units of the contract.

        Raises:
            ContractMismatch: `obs` has another type or shape, or more rows than the bundle's max_batch.
        """
        if obs.dtype != np.float32 or obs.ndim != 2 or obs.shape[1] != self._obs_size:
            raise ContractMismatch(
                "the observation", "the bundle", [f"{obs.dtype} {obs.shape} != float32 (rows, {self._obs_size})"]
            )
        if not 1 <= len(obs) <= self._max_rows:
            raise ContractMismatch("the observation", "the bundle", [f"{len(obs)} rows outside [1, {self._max_rows}]"])
        chunk: NDArray[np.float32] = self._session.run(["chunk"], {"obs": obs})[0]
        return chunk

    def close(self) -> None:
        """Release the session; calling it twice is harmless."""
        self._session = None


def open_session(model: bytes, provider: str = CPU) -> Any:
    """Start ONNX Runtime on a model's bytes, on one CPU thread; only verified bytes may come near a robot.

    Raises:
        MissingExtra: onnxruntime is not installed.
        ConfigError: It has no such provider here.
        BundleRefused: onnxruntime does not take the model.
    """
    ort = require("onnxruntime", "serve")
    if provider not in (known := ort.get_available_providers()):
        raise ConfigError(f"onnxruntime has no execution provider '{provider}' here (providers: {', '.join(known)})")
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(model, options, providers=[provider])
    except Exception as error:  # onnxruntime's errors share no base class of their own
        raise BundleRefused(f"model.onnx: onnxruntime refuses it: {str(error).splitlines()[0]}") from error
