"""The learned residual: kept where it proves itself, zero outside its range, the same in ONNX, and fast."""

import time

import numpy as np
import pytest
import torch
from robostral_policies.identify.residual_net import INPUTS, to_onnx, train

from robostral.bundle.check import check_graph
from robostral.bundle.model import read_model
from robostral.bundle.policy import open_session

N = 7


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.0, 1.0, (600, N, INPUTS)) * np.array([1.0, 4.0, 30.0, 1.0, 1.0])
    errors = 2.0 * np.tanh(3.0 * x[:, :, 0]) * x[:, :, 3] + 0.1 * rng.normal(size=(600, N))
    return x.reshape(600, -1).astype(np.float32), errors


def test_it_learns_what_is_there_and_is_zero_far_outside(data: tuple[np.ndarray, np.ndarray]) -> None:
    x, errors = data
    net = train(x[:450], errors[:450], seed=1)
    left = errors[450:] - net.predict(x[450:])[:, 0]
    assert (left.var(axis=0) < 0.5 * errors[450:].var(axis=0)).all()
    assert (net.predict(2.0 * np.abs(x).max(axis=0, keepdims=True))[:, 0] == 0.0).all()


def test_same_seed_gives_the_same_bytes(data: tuple[np.ndarray, np.ndarray]) -> None:
    x, errors = data
    assert to_onnx(train(x, errors, seed=3)) == to_onnx(train(x, errors, seed=3))


def test_onnx_is_the_network_within_the_allow_list_and_fast(data: tuple[np.ndarray, np.ndarray]) -> None:
    x, errors = data
    net = train(x, errors, seed=1).only(torch.tensor([True, False, True, True, True, True, True]))
    model = to_onnx(net)
    check_graph(read_model(model), INPUTS * N, (2, N))
    session = open_session(model)
    wild = np.concatenate([x, 1.3 * x])
    theirs = session.run(["chunk"], {"obs": wild})[0]
    assert np.abs(theirs - net.predict(wild)).max() <= 1e-5
    assert (theirs[:, :, 1] == 0.0).all()
    times = []
    for _ in range(2000):
        start = time.perf_counter()
        session.run(["chunk"], {"obs": x[:1]})
        times.append(time.perf_counter() - start)
    assert 1e6 * np.quantile(times, 0.1) <= 60.0  # 20 µs on a quiet machine; others may be busy here
