"""Nine policies that strangers trained, converted to bundles and served: the wire gives their own numbers."""

from pathlib import Path

import numpy as np
import pytest
import relu_policies
from serving_rig import served

from robostral.bundle import load
from robostral.contract import Sealed
from robostral.serving.hosted import Hosted
from robostral.serving.remote import RemotePolicy

SCRIPTS = relu_policies.scripts()


@pytest.mark.skipif(not SCRIPTS, reason="pybullet, whose wheel holds these policies, is not installed")
def test_all_nine_are_served_as_numpy_computes_them(tmp_path: Path) -> None:
    policies = [relu_policies.read(script) for script in SCRIPTS]
    assert len({policy.name for policy in policies}) == 9
    hosted = [Hosted.from_bundle(load(policy.write(tmp_path))) for policy in policies]
    worst = {}
    with served(tmp_path, *hosted) as (server, keys):
        for policy in policies:
            # The wire carries float32; the reference is the script's own float64 pass over these very numbers.
            size = policy.contract.obs_size
            obs = np.random.default_rng(size).normal(size=(200, size)).astype(np.float32)
            remote = RemotePolicy(server.endpoint, keys, Sealed.seal(policy.contract))
            found = remote.infer(obs)[:, 0]
            remote.close()
            expected = policy.forward(obs.astype(np.float64))
            worst[policy.name] = float(np.max(np.abs(found - expected) / np.maximum(1.0, np.abs(expected))))
    assert max(worst.values()) <= 1e-6, worst
