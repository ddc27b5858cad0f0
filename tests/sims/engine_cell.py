"""What tests of engines share: a Panda on a floor, what a World measures as plain arrays, and ways to move it."""

import numpy as np
from robostral_sims.scene import Body, Box, Pose

from robostral.arm import load_arm
from robostral.arm.chain import transform
from robostral.kinematics import ik

ARM = load_arm("panda")
FLOOR = Body("floor", Box((3.0, 3.0, 0.02)), Pose((0.0, 0.0, -0.01)))
DT_S = 0.004


def read(world):
    state = np.zeros((3, world.n))
    world.read(*state)
    return state


def parts(world, k=1):
    out = np.zeros((k, 13))
    world.read_parts(out)
    return out


def tools(world):
    out = np.zeros((1, 2))
    world.read_tools(out)
    return out[0]


def wrench(world):
    out = np.zeros((1, 6))
    world.read_wrenches(out)
    return out[0]


def above(x, y, z, tool, near=ARM.home):
    """Return the Panda's joints with its tool's tcp at a point, looking down."""
    chain = ARM.chain.with_tcp(transform(tool.tcp.p, (0.0, 0.0, 0.0)))
    return ik.ik(chain, ARM.limits, transform((x, y, z), (np.pi, 0.0, 0.0)), near)


def hold(world, q, seconds):
    world.run(np.tile(q, (round(seconds / world.dt_s), 1)))


def move(world, q, q_end, seconds):
    """Move straight in joint space, at rest at both ends."""
    s = np.linspace(0.0, 1.0, round(seconds / world.dt_s) + 1)[1:, None]
    world.run(q + s * s * (3.0 - 2.0 * s) * (q_end - q))
