"""OnnxPolicy: the model's own numbers, for exactly the observations that the contract allows."""

import dataclasses

import msgspec
import numpy as np
import pytest
import tiny_bundle
from onnx import helper
from tiny_bundle import HORIZON, JOINTS, OBS_SIZE, contract, expected

from robostral import bundle
from robostral.contract import Sealed
from robostral.errors import BundleRefused, ConfigError, ContractMismatch
from robostral.policy import Policy


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> bundle.Bundle:
    return bundle.load(tiny_bundle.write(tmp_path_factory.mktemp("bundles") / "tiny-v1"))


@pytest.fixture(scope="module")
def policy(tiny) -> Policy:
    return bundle.OnnxPolicy(tiny)


@pytest.mark.parametrize("rows", [1, 2, 8])
def test_it_computes_what_the_model_says(policy, rows):
    obs = np.random.default_rng(rows).normal(size=(rows, OBS_SIZE)).astype(np.float32)
    chunk = policy.infer(obs)
    assert chunk.dtype == np.float32
    assert chunk.shape == (rows, HORIZON, len(JOINTS))
    np.testing.assert_allclose(chunk, expected(obs), atol=1e-7)


def test_an_earlier_chunk_stays_as_it_was(policy):
    first = policy.infer(np.zeros((1, OBS_SIZE), np.float32))
    kept = first.copy()
    policy.infer(np.ones((1, OBS_SIZE), np.float32))
    np.testing.assert_array_equal(first, kept)


def test_rows_of_a_strided_array_are_taken_as_they_are(policy):
    wide = np.random.default_rng(0).normal(size=(4, 2 * OBS_SIZE)).astype(np.float32)
    np.testing.assert_allclose(policy.infer(wide[:, ::2]), expected(wide[:, ::2]), atol=1e-7)


@pytest.mark.parametrize(
    ("obs", "fact"),
    [
        (np.zeros((1, OBS_SIZE)), "float64"),
        (np.zeros((1, OBS_SIZE + 1), np.float32), r"\(1, 7\)"),
        (np.zeros(OBS_SIZE, np.float32), r"\(6,\) != float32 \(rows, 6\)"),
        (np.zeros((0, OBS_SIZE), np.float32), r"0 rows outside \[1, 8\]"),
        (np.zeros((9, OBS_SIZE), np.float32), r"9 rows outside \[1, 8\]"),
    ],
)
def test_other_observations_are_refused(policy, obs, fact):
    with pytest.raises(ContractMismatch, match=fact):
        policy.infer(obs)


def test_what_onnxruntime_refuses_is_refused_in_one_line(tiny):
    proto = tiny_bundle.model_proto()
    proto.graph.node.append(helper.make_node("Add", ["chunk", "nowhere"], ["more"]))
    broken = dataclasses.replace(tiny, model_bytes=proto.SerializeToString())
    with pytest.raises(BundleRefused, match=r"^model.onnx: onnxruntime refuses it: [^\n]+$"):
        bundle.OnnxPolicy(broken)


def test_another_contract_than_the_model_s_is_refused(tiny):
    other = Sealed.seal(msgspec.structs.replace(contract(), obs=contract().obs[:2]))
    with pytest.raises(BundleRefused, match=r"onnxruntime sees .*'obs'.*6.*the contract says .*4"):
        bundle.OnnxPolicy(dataclasses.replace(tiny, sealed=other))


def test_close_twice_is_harmless(tiny):
    policy = bundle.OnnxPolicy(tiny)
    assert policy.sealed == tiny.sealed
    policy.close()
    policy.close()


def test_unknown_execution_provider_is_named_with_the_known_ones(tiny):
    with pytest.raises(ConfigError, match=r"no execution provider 'Abacus' here \(providers: .*CPUExecutionProvider"):
        bundle.OnnxPolicy(tiny, "Abacus")
