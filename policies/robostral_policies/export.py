"""From the trained network to ONNX bytes: one file, a dynamic number of rows, few plain operators, bounded outputs."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from robostral.bundle.policy import open_session
from robostral.extras import require
from robostral_policies.actor import Actor

OPSET = 20


def to_onnx(actor: Actor) -> bytes:
    """Export the network with input `obs` (rows, obs_size) and output `chunk` (rows, horizon, n), both float32.

    The same network gives the same bytes: names of the exporter's own source lines are removed.

    Raises:
        MissingExtra: onnxscript is not installed.
    """
    require("onnxscript", "train")
    example = torch.zeros(2, len(actor.mean))
    with _quiet():
        program = torch.onnx.export(
            actor,
            (example,),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=["obs"],
            output_names=["chunk"],
            dynamic_shapes={"obs": {0: torch.export.Dim("rows")}},
        )
    assert program is not None
    model = program.model_proto
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
    del graph.value_info[:]
    raw: bytes = model.SerializeToString(deterministic=True)
    return raw


def parity(actor: Actor, model: bytes, obs: NDArray[np.float32]) -> float:
    """Compute the greatest absolute difference between network and exported model over `obs` (rows, obs_size)."""
    with torch.inference_mode():
        ours = actor(torch.from_numpy(obs)).numpy()
    theirs = open_session(model).run(["chunk"], {"obs": obs})[0]
    return float(np.abs(ours - theirs).max())


def probe(seen: NDArray[np.float32], n: int, seed: int) -> NDArray[np.float32]:
    """Draw `n` observations for `parity`: half of them seen in rollouts, half random with three times their spread."""
    rng = np.random.default_rng([seed, 2])
    rows = seen[rng.integers(len(seen), size=n - n // 2)]
    wild = seen.mean(0) + 3.0 * seen.std(0) * rng.normal(size=(n // 2, seen.shape[1]))
    return np.concatenate([rows, wild.astype(np.float32)])


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter says about itself."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
