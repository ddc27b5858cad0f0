"""Torque along held-out motion as the engines compute it, from our generated URDF: identified against published."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from robostral.arm import Arm
from robostral.arm.chain import FloatArray
from robostral.errors import MissingExtra
from robostral.extras import require
from robostral_policies.identify.pipeline import Identification
from robostral_policies.identify.score import nmse

ROWS = 1000
"""Rows that are compared, evenly spread."""

Inverse = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]


def compare_engines(published: Arm, found: Identification) -> dict[str, dict[str, float]]:
    """Compare the mean nMSE of both arms in every engine that is installed.

    The identified arm comes with its own rotors and friction. The published one has none: its engine's torque stands
    alone, and beside it (`published_with_friction`) with the same friction as the identified arm.

    Args:
        published: The arm as published.
        found: What was identified, with held-out motion.
    """
    assert found.trace is not None
    trace = found.trace
    rows = np.unique(np.linspace(0, len(trace.t) - 1, ROWS).astype(np.int64))
    q, dq, ddq, tau = (x[rows] for x in (trace.q, trace.dq, trace.ddq, trace.tau))
    own = trace.friction[rows] + found.found.rotor * ddq
    figures = {}
    for name, make in (("pybullet", _bullet), ("mujoco", _mujoco)):
        try:
            inverse = {key: make(arm)(q, dq, ddq) for key, arm in (("known", published), ("ours", found.found.arm))}
        except MissingExtra:
            continue
        figures[name] = {
            "identified": float(nmse(tau - inverse["ours"] - own, tau).mean()),
            "published": float(nmse(tau - inverse["known"], tau).mean()),
            "published_with_friction": float(nmse(tau - inverse["known"] - trace.friction[rows], tau).mean()),
        }
    return figures


def _bullet(arm: Arm) -> Inverse:
    pybullet: Any = require("pybullet", "sim")
    client: Any = require("pybullet_utils.bullet_client", "sim").BulletClient(pybullet.DIRECT)
    client.setGravity(*(float(x) for x in arm.chain.model[-1, 9:12]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arm.urdf"
        path.write_text(arm.urdf())
        body = client.loadURDF(str(path), useFixedBase=True, flags=pybullet.URDF_USE_INERTIA_FROM_FILE)

    def inverse(q: FloatArray, dq: FloatArray, ddq: FloatArray) -> FloatArray:
        rows = [
            client.calculateInverseDynamics(body, *(x.tolist() for x in row)) for row in zip(q, dq, ddq, strict=True)
        ]
        client.disconnect()
        return np.array(rows)

    return inverse


def _mujoco(arm: Arm) -> Inverse:
    mujoco: Any = require("mujoco", "sim")
    model = mujoco.MjModel.from_xml_string(arm.urdf())
    model.opt.gravity[:] = arm.chain.model[-1, 9:12]
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT | mujoco.mjtDisableBit.mjDSBL_LIMIT
    data = mujoco.MjData(model)

    def inverse(q: FloatArray, dq: FloatArray, ddq: FloatArray) -> FloatArray:
        out = np.empty(q.shape)
        for k in range(len(q)):
            data.qpos[:], data.qvel[:], data.qacc[:] = q[k], dq[k], ddq[k]
            mujoco.mj_inverse(model, data)
            out[k] = data.qfrc_inverse
        return out

    return inverse
