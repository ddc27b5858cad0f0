"""The libraries that we measure ourselves against, each on the very same arm; absent ones are None."""

import importlib
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from robostral.arm import Arm
from robostral.arm.chain import FloatArray, unpack
from robostral.arm.limits import Q_MAX, Q_MIN
from robostral.extras import quiet


def find(module: str) -> ModuleType | None:
    """Import a peer, or return None where it is not installed or does not import."""
    try:
        return importlib.import_module(module)
    except Exception:  # a peer built for another numpy fails with whatever it likes
        return None


class Pinocchio:
    """Pinocchio called once per configuration, on our generated URDF."""

    def __init__(self, pin: ModuleType, arm: Arm) -> None:
        self.pin: Any = pin
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "arm.urdf"
            text = arm.urdf()
            path.write_text(text)
            with quiet():  # it complains about capsules, which it does not draw
                self.model = self.pin.buildModelFromUrdf(str(path))
        self.model.gravity.linear = arm.chain.model[-1, 9:12]
        self.data = self.model.createData()
        self.flange = self.model.getFrameId("flange")

    def fk(self, q: FloatArray) -> None:
        """Place the flange."""
        self.pin.forwardKinematics(self.model, self.data, q)
        self.pin.updateFramePlacement(self.model, self.data, self.flange)

    def reference(self, q: FloatArray, dq: FloatArray, x: FloatArray) -> dict[str, FloatArray]:
        """Compute all that we compare for rows q, dq and x (acceleration or torque), shape (m, n) each."""
        pin, model, data, n = self.pin, self.model, self.data, q.shape[1]
        out = {
            "fk": np.empty((len(q), 4, 4)),
            "jacobian": np.empty((len(q), 6, n)),
            "rnea": np.empty_like(q),
            "crba": np.empty((len(q), n, n)),
            "aba": np.empty_like(q),
        }
        for k, (a, b, c) in enumerate(zip(q, dq, x, strict=True)):
            self.fk(a)
            out["fk"][k] = data.oMf[self.flange].homogeneous
            out["jacobian"][k] = pin.computeFrameJacobian(model, data, a, self.flange, pin.LOCAL_WORLD_ALIGNED)
            out["rnea"][k] = pin.rnea(model, data, a, b, c)
            out["crba"][k] = np.triu(pin.crba(model, data, a))
            out["aba"][k] = pin.aba(model, data, a, b, c)
        upper = out["crba"]
        out["crba"] = upper + np.triu(upper, 1).transpose(0, 2, 1)
        return out

    def statements(self, q: FloatArray, dq: FloatArray, x: FloatArray) -> dict[str, str]:
        """Return the calls to time as source text over the names of `names`."""
        frame = "pin.LOCAL_WORLD_ALIGNED"
        fk = "pin.forwardKinematics(model, data, q); pin.updateFramePlacement(model, data, flange)"
        return {
            "fk": fk,
            "fk_jacobian": f"{fk}; pin.computeFrameJacobian(model, data, q, flange, {frame})",
            "rnea": "pin.rnea(model, data, q, dq, x)",
            "gravity": "pin.computeGeneralizedGravity(model, data, q)",
            "crba": "pin.crba(model, data, q)",
            "aba": "pin.aba(model, data, q, dq, x)",
        }

    def names(self, q: FloatArray, dq: FloatArray, x: FloatArray) -> dict[str, Any]:
        """Return what the statements refer to."""
        own = {"pin": self.pin, "model": self.model, "data": self.data, "flange": self.flange}
        return own | {"q": q, "dq": dq, "x": x}


class Toolbox:
    """roboticstoolbox's C++ `ik_LM` on our figures."""

    def __init__(self, rtb: Any, arm: Arm) -> None:
        chain = arm.chain
        ets = rtb.ETS()
        for i in range(chain.n):
            limits = arm.limits.array[[Q_MIN, Q_MAX], i]
            ets = ets * rtb.ET.SE3(unpack(chain.model[i])) * rtb.ET.Rz(qlim=limits)
        self.ets = ets * rtb.ET.SE3(unpack(chain.model[chain.n + 1]))

    def solve(self, T: FloatArray, q0: FloatArray) -> tuple[FloatArray, bool]:
        """Solve one pose to about 1e-6, with its own defaults otherwise; return q and whether it claims success."""
        solution = self.ets.ik_LM(T, q0=q0, tol=1e-12, joint_limits=True)
        return np.asarray(solution.q).reshape(-1), bool(np.all(solution.success))


class Bullet:
    """PyBullet's `calculateInverseKinematics` on our generated URDF."""

    def __init__(self, pybullet: Any, arm: Arm) -> None:
        from pybullet_utils.bullet_client import BulletClient

        self.client = BulletClient(pybullet.DIRECT)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "arm.urdf"
            path.write_text(arm.urdf())
            self.body = self.client.loadURDF(str(path), useFixedBase=True)
        self.n = arm.chain.n

    def solve(self, T: FloatArray, quat_wxyz: FloatArray, q0: FloatArray) -> FloatArray:
        """Solve one pose from q0 with 100 iterations and a residual of 1e-6."""
        for i in range(self.n):
            self.client.resetJointState(self.body, i, q0[i])
        w, x, y, z = quat_wxyz
        q = self.client.calculateInverseKinematics(
            self.body, self.n, T[:3, 3], (x, y, z, w), maxNumIterations=100, residualThreshold=1e-6
        )
        return np.asarray(q)
