"""Call every kernel once, so that a later process finds all machine code in the cache."""

import sys

import numpy as np

from robostral.arm import load_arm
from robostral.kinematics import aba, condition, crba, distance, fk, gravity, ik, jacobian, regressor, rnea


def warm_up(name: str) -> None:
    """Compile, or load from the cache, all kernels and batch kernels with the types that an arm uses."""
    arm = load_arm(name)
    chain, q = arm.chain, arm.home
    zero, T, J = np.zeros(chain.n), np.empty((4, 4)), np.empty((6, chain.n))
    for at, still in ((q, zero), (q[None], zero[None])):
        for kinematic in (fk.tcp, fk.frames, gravity.gravity, crba.crba, condition.condition):
            kinematic(chain, at)
        for dynamic in (rnea.rnea, aba.aba, regressor.regressor):
            dynamic(chain, at, still, still)
    for frame in ("aligned", "world", "local"):
        jacobian.jacobian(chain, q, frame)
    jacobian.jacobian_batch_kernel(chain.model, q[None], J[None])
    jacobian.fk_jacobian_kernel(chain.model, q, T, J)
    jacobian.fk_jacobian_batch_kernel(chain.model, q[None], T[None], J[None])
    ik.ik(chain, arm.limits, T, q, posture=q)
    ik.ik_batch(chain, arm.limits, T[None], q)
    distances = distance.Distances(arm, [distance.plane((0, 0, 1), -1.0)])
    distances.compute(q)
    distances.gradient(0)


if __name__ == "__main__":
    warm_up(sys.argv[1])
