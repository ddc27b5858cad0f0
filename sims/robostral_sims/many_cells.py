"""Many PickPlace cells at once behind one learned simulator: what it sees, what happens, what policies observe."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robostral.arm.chain import FloatArray
from robostral.jit import allocating, kernel
from robostral.kinematics.codes import OK
from robostral.kinematics.jacobian import pose_jacobian_kernel
from robostral.kinematics.lm import lm_kernel, track_kernel
from robostral.kinematics.se3 import matrix_from_quat_kernel
from robostral.signals import describe_kernel, twist_kernel
from robostral_sims.camera import chain_kernel, look_kernel
from robostral_sims.learned import (
    CLEAR,
    FAR_M,
    GAP_C,
    GAP_FREE,
    OUTSIDE,
    at_rest_kernel,
    far_kernel,
    free_gap_kernel,
    happen_kernel,
    may_move_kernel,
    see_kernel,
)
from robostral_sims.many_arms import LANES, SEEN_C, SEEN_DQ, SEEN_Q, Arms, place_kernel
from robostral_sims.tasks.pick_place import judge_kernel, lay_out_kernel

Floats = NDArray[np.float32]
RUNNING, SUCCESS, STOPPED, BEYOND, TIME_LIMIT = range(5)
"""How an episode goes on."""

_SETTLING = 8
"""Steps that put the null space of a standing arm at its posture: the last ones move less than 1e-6 rad."""


class Cells(NamedTuple):
    """What m cells hold beside their arms; the arrays are the kernels' own.

    Attributes:
        part: As `WorldState.parts`, shape (m, 13).
        tool: Gap of the jaw [m] and its rate [m/s], shape (m, 2).
        size: What is known of the part, as `robostral_sims.watch.part_of` returns it, shape (m, 8).
        tcp: T_world_tcp before the step and after it, shape (m, 2, 4, 4).
        speed: Of it in `world` after the step [m/s, rad/s], shape (m, 6); of cells whose part is in reach.
        pose: T_base_tcp: rotation row by row, then position, shape (m, 12).
        twist: Of the tcp in `base` [m/s, rad/s], shape (m, 6).
        external: The contract's external vector: the goal and what is told of the part, shape (m, 14).
        bias, spread: Of the camera, position [m] and yaw [rad], shape (m, 4).
        noise: Of every picture of the episode, shape (m, steps + 1, 4).
        held: How long the part has lain at its goal, let go [s], shape (m,).
        rewards: Of the step, shape (m,).
        figures: Distance [m] and angle [rad] from the goal, shape (m, 2).
        ends: How each goes on, shape (m,).
        free: Whether its part may move in this step, shape (m,).
    """

    part: FloatArray
    tool: FloatArray
    size: FloatArray
    tcp: FloatArray
    speed: FloatArray
    pose: FloatArray
    twist: FloatArray
    external: FloatArray
    bias: FloatArray
    spread: FloatArray
    noise: FloatArray
    held: FloatArray
    rewards: FloatArray
    figures: FloatArray
    ends: NDArray[np.int64]
    free: NDArray[np.bool_]


class Room(NamedTuple):
    """Work space: three rows of joints, a Jacobian, a pose, and what the sensors beyond the joints read."""

    q: FloatArray
    dq: FloatArray
    q_c: FloatArray
    J: FloatArray
    here: FloatArray
    sensors: FloatArray


def new_room(n: int) -> Room:
    """Make work space for arms of `n` joints."""
    shapes: list[tuple[int, ...]] = [(n,), (n,), (n,), (6, n), (7,), (2,)]
    return Room(*(np.zeros(shape) for shape in shapes))


def new_cells(m: int, longest: int) -> Cells:
    """Make room for `m` cells and episodes of `longest` steps."""
    shapes: list[tuple[int, ...]] = [
        (13,),
        (2,),
        (8,),
        (2, 4, 4),
        (6,),
        (12,),
        (6,),
        (14,),
        (4,),
        (4,),
        (longest + 1, 4),
        (),
        (),
        (2,),
    ]
    arrays = [np.zeros((m, *shape)) for shape in shapes]
    return Cells(*arrays, np.zeros(m, np.int64), np.zeros(m, np.bool_))  # type: ignore[arg-type, call-arg]


class Site(NamedTuple):
    """What all cells share.

    Attributes:
        model: `Chain.model`.
        base: T_world_base, shape (4, 4).
        back: Pose of `world` in `base`, shape (7,).
        hand: Of the jaw, as `robostral_sims.watch.hand` returns it, shape (2, 4).
        opening: Its widest gap [m].
        jaw_m: How far the free jaw moves in a tick at most [m].
        tick_s: Control period [s].
        ticks: Control ticks in a policy step.
        dt_s: Length of it [s].
        longest: Policy steps in an episode.
        beyond: How far outside of what was trained on a cell may be.
    """

    model: FloatArray
    base: FloatArray
    back: FloatArray
    hand: FloatArray
    opening: float
    jaw_m: float
    tick_s: float
    ticks: int
    dt_s: float
    longest: int
    beyond: float


@kernel
def gather_kernel(arms: Arms, c: int, row: int, out: FloatArray) -> None:
    """Fill a row of the joints of cell c, shape (n,)."""
    joints, lane = arms.joints[c // LANES], row + c % LANES
    for i in range(out.shape[0]):
        out[i] = joints[i, lane]


@kernel
def look_at_tcp_kernel(site: Site, arms: Arms, cells: Cells, c: int, room: Room, when: int) -> None:
    """Look where the tcp of cell c is as observed, and how it moves: before the step, `when` is 0, or after it, 1."""
    gather_kernel(arms, c, SEEN_Q, room.q)
    gather_kernel(arms, c, SEEN_DQ, room.dq)
    T = cells.tcp[c, when]
    R, p = pose_jacobian_kernel(site.model, room.q, room.J)
    for i in range(9):
        cells.pose[c, i] = R[i]
    for i in range(3):
        cells.pose[c, 9 + i] = p[i]
        for j in range(3):
            T[i, j] = site.base[i, 0] * R[j] + site.base[i, 1] * R[3 + j] + site.base[i, 2] * R[6 + j]
        T[i, 3] = site.base[i, 0] * p[0] + site.base[i, 1] * p[1] + site.base[i, 2] * p[2] + site.base[i, 3]
    twist = twist_kernel(room.J, room.dq)
    for i in range(6):
        cells.twist[c, i] = twist[i]


@allocating
def see_cells_kernel(site: Site, arms: Arms, cells: Cells, room: Room, seen: Floats) -> None:
    """Fill what the simulator sees of every cell's step, shape (m, SEEN), and whose part may move in it."""
    for c in range(seen.shape[0]):
        look_at_tcp_kernel(site, arms, cells, c, room, 1)
        late = arms.late[c, 1]
        free = free_gap_kernel(cells.tool[c, 0], arms.tools_c[c, 1], site.jaw_m * late)
        free = free_gap_kernel(free, arms.tools_c[c, 0], site.jaw_m * (site.ticks - late))
        part, size, after = cells.part[c], cells.size[c], cells.tcp[c, 1]
        if at_rest_kernel(part) and far_kernel(after, free, site.hand, part, size):
            # all that is looked at of such a step
            seen[c, GAP_C], seen[c, GAP_FREE], cells.free[c] = arms.tools_c[c, 0], free, False
            seen[c, CLEAR] = seen[c, CLEAR + 4] = seen[c, CLEAR + 8] = FAR_M
            continue
        twist, V = cells.twist[c], cells.speed[c]
        for i in range(3):
            x, y, z = site.base[i, 0], site.base[i, 1], site.base[i, 2]
            V[i] = x * twist[0] + y * twist[1] + z * twist[2]
            V[3 + i] = x * twist[3] + y * twist[4] + z * twist[5]
        see_kernel(
            cells.tcp[c, 0], after, cells.speed[c], part, size, site.hand, cells.tool[c],
            arms.tools_c[c, 0], free, site.dt_s, seen[c],
        )  # fmt: skip
        cells.free[c] = may_move_kernel(part, seen[c])


@allocating
def happen_cells_kernel(site: Site, arms: Arms, cells: Cells, chunks: Floats, seen: Floats, said: Floats) -> None:
    """Let what was said, shape (m, 16), happen in every cell, and judge it."""
    for c in range(said.shape[0]):
        part, T, after, external = cells.part[c], cells.tcp[c, 0], cells.tcp[c, 1], cells.external[c]
        free = happen_kernel(T, seen[c], site.opening, site.dt_s, said[c], part, cells.tool[c])
        beyond, stopped = free and said[c, OUTSIDE] > site.beyond, arms.codes[c] != 0
        for i in range(3):
            for j in range(4):
                T[i, j] = after[i, j]
        reward, success, cells.held[c], cells.figures[c, 0], cells.figures[c, 1], _ = judge_kernel(
            site.back, part, external[:7], cells.size[c, 3] > 0.5,
            cells.pose[c, 9], cells.pose[c, 10], cells.pose[c, 11],
            cells.tool[c, 0], 2.0 * cells.size[c, 1], chunks[c, 0], stopped, cells.held[c],
        )  # fmt: skip
        late, end = arms.steps[c] >= site.longest, RUNNING
        if success and not beyond:
            end = SUCCESS
        elif stopped or beyond or late:
            end = STOPPED if stopped else BEYOND if beyond else TIME_LIMIT
        cells.rewards[c], cells.ends[c] = reward, end


@kernel
def observe_cells_kernel(
    rows: NDArray[np.int64],
    plan: NDArray[np.int64],
    site: Site,
    arms: Arms,
    cells: Cells,
    room: Room,
    obs: Floats,
) -> None:
    """Observe some cells as their policies see them.

    Args:
        rows: Which, shape (k,).
        plan: `Signals.plan` of a contract with the task's fields.
        site: What all share.
        arms: The arms.
        cells: What else there is; the camera takes a picture.
        room: Work space.
        obs: Their rows are filled, shape (m, obs_size).
    """
    for c in rows:
        gather_kernel(arms, c, SEEN_Q, room.q)
        gather_kernel(arms, c, SEEN_DQ, room.dq)
        gather_kernel(arms, c, SEEN_C, room.q_c)
        chain_kernel(site.back, cells.part[c], room.here)
        look_kernel(room.here, cells.bias[c], cells.spread[c], cells.noise[c, arms.steps[c]], cells.external[c, 7:])
        room.sensors[0], room.sensors[1] = cells.tool[c, 0], arms.tools_c[c, 0]
        p, w = cells.pose[c], cells.twist[c]
        tcp = p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10], p[11]
        twist = w[0], w[1], w[2], w[3], w[4], w[5]
        describe_kernel(
            plan, site.model, tcp, twist, room.q, room.dq, room.q_c, cells.external[c], room.sensors, obs[c]
        )


@allocating
def stand_kernel(
    model: FloatArray, limits: FloatArray, home: FloatArray, pose: FloatArray, work: FloatArray, q: FloatArray
) -> bool:
    """Find where the arm stands with its tcp at a pose, as `robostral.kinematics.ik` does, in less time.

    Args:
        model: `Chain.model`.
        limits: `Limits.array`, shape (7, n).
        home: Posture, and where the search begins [rad], shape (n,).
        pose: p [m] and quat_wxyz in `base`, shape (7,).
        work: Of `ik_workspace`.
        q: Filled [rad], shape (n,).

    Returns:
        Whether the arm stands there, within 1e-9, inside its limits.
    """
    T = np.eye(4)
    matrix_from_quat_kernel(pose[3:], T[:3, :3])
    for i in range(3):
        T[i, 3] = pose[i]
    if lm_kernel(model, limits, T, home, 0, 0, work, q) != OK:
        return False
    error = 0.0
    for turn in range(_SETTLING if q.shape[0] > 6 else 0):
        error = track_kernel(model, T, home, 0.7 if turn + 1 < _SETTLING else 0.0, work, q)
    inside = True
    for i in range(q.shape[0]):
        inside = inside and limits[0, i] <= q[i] <= limits[1, i]
    return inside and error < 1e-12


class Draw(NamedTuple):
    """What is drawn for the episodes of k cells.

    Attributes:
        shares: As `robostral_sims.tasks.pick_place.lay_out_kernel` has them, shape (k, 13).
        figures: Of each plant, in the order of `FIGURES_READ`, shape (k, 14).
        stands: Whether `q` is known already, shape (k,); the kernel fills it with whether it is.
        q: Where the arms stand [rad], shape (k, n).
    """

    shares: FloatArray
    figures: FloatArray
    stands: NDArray[np.bool_]
    q: FloatArray


FIGURES_READ = (
    "stiffness", "feed_forward", "lag_s", "latency_s", "part_size", "round", "bias_x", "bias_y", "bias_z", "bias_yaw",
    "noise", "noise_yaw", "friction", "part_mass",
)  # fmt: skip
"""Figures of a plant that a cell here has; payload and stiffness of contacts are one average of the simulator's."""


class Place(NamedTuple):
    """Where episodes of all cells begin.

    Attributes:
        base: Pose of `base` in `world`, shape (7,).
        low, span, R_home: `PickPlace.frame`.
        part: What is known of the nominal part, as `robostral_sims.watch.part_of` returns it, shape (8,).
        limits: `Limits.array`.
        home: The arm's, shape (n,).
        work: Of `ik_workspace`.
    """

    base: FloatArray
    low: FloatArray
    span: FloatArray
    R_home: FloatArray
    part: FloatArray
    limits: FloatArray
    home: FloatArray
    work: FloatArray


@allocating
def begin_cells_kernel(
    rows: NDArray[np.int64],
    site: Site,
    place: Place,
    draw: Draw,
    arms: Arms,
    cells: Cells,
    room: Room,
) -> bool:
    """Begin an episode in some cells.

    Args:
        rows: Which, shape (k,).
        site: What all share.
        place: Where episodes begin.
        draw: What is drawn for each.
        arms: The arms.
        cells: What else there is; the noise is the episode's already.
        room: Work space.

    Returns:
        Whether every arm stands; those that `draw.stands` says do not have to be given their `q`.
    """
    poses, all_stand = np.empty((3, 7)), True
    for k in range(rows.shape[0]):
        c, figures, size, q = rows[k], draw.figures[k], cells.size[rows[k]], draw.q[k]
        share = figures[4]
        for i in range(8):
            size[i] = place.part[i] * (share if i < 3 else 1.0)
        size[4] *= figures[12] * figures[12]  # both surfaces'
        size[6] *= figures[13]
        if figures[5] > 0.5:
            size[0], size[3] = size[1], 1.0
        lay_out_kernel(place.low, place.span, place.R_home, 2.0 * size[2], draw.shares[k], poses)
        chain_kernel(place.base, poses[0], cells.part[c])
        cells.part[c, 7:] = 0.0
        cells.external[c, :7] = poses[1]
        if not draw.stands[k]:
            draw.stands[k] = stand_kernel(site.model, place.limits, place.home, poses[2], place.work, q)
            all_stand = all_stand and draw.stands[k]
        late = min(round(figures[3] / site.tick_s), site.ticks * arms.chunks.shape[1] - 1)
        arms.late[c, 0], arms.late[c, 1] = late // site.ticks, late % site.ticks
        arms.lag[c] = 1.0 - math.exp(-site.tick_s / max(figures[2], 1e-9))
        place_kernel(arms, c, q, figures[0], figures[1], site.ticks)
        for i in range(4):
            cells.bias[c, i], cells.spread[c, i] = figures[6 + i], figures[10 + i // 3]
        arms.tools_c[c] = cells.tool[c, 0] = site.opening
        cells.tool[c, 1], cells.held[c], cells.ends[c] = 0.0, 0.0, RUNNING
        look_at_tcp_kernel(site, arms, cells, c, room, 0)
        cells.tcp[c, 0, 3, 3] = cells.tcp[c, 1, 3, 3] = 1.0
    return all_stand
