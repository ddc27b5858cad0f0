"""How to put a square peg into its hole by feel: a corner first, along both walls, then upright."""

import cmath
import math

import numpy as np
from numpy.typing import NDArray

from robostral.arm.chain import FloatArray
from robostral.jit import kernel

Step = tuple[complex, float, complex, float]
"""What is commanded: along the told sides [m], up [m], tilt about the diagonals and yaw [rad]."""

_HOVER_M, _BESIDE_M = 0.013, 0.007
"""Above the first the peg is tilted: there no corner touches, whatever the error of the told height. It comes down
short of the told place by the second, on both axes: there its lowest corner is inside the hole, whatever the error."""
_SURE_M, _BLEND_M = 0.006, 0.002
"""From this depth below the told surface on, the peg is in the hole whatever the error of what was told."""
_TILT, _SECOND, _ROUND, _DONE = 0.22, 0.19, 0.16, -0.015
"""Tilt of the command [rad]: at first; from where on the second wall is sought; from where on both are left for a walk
on a circle; and where a try is given up."""
_SLOWLY, _UPRIGHT, _LIE = 0.0015, 0.002, 0.005
"""By how much it is raised in a step [rad]: at the walls, on the circle, in the hole."""
_QUICK_M = 0.8e-3
"""Longest step sideways on each axis: 16 mm/s, so that a wall is no blow."""
_SEARCH_M, _PRESS_M, _PUSH_M, _SIDE_M = 0.0063, 0.010, 0.0175, 0.0027
"""By how much the command runs ahead of the peg: down at the walls, on the circle and in the hole (5, 8 and 14 N by the
law's spring), and sideways (8 N). Friction holds back up to 4 N of it; a soft wall gives way by 0.5 mm to all of it."""
_TOUCH_N = (1.5, 3.5)
"""From which to which force up the peg is taken to stand on something."""
_TURNS, _OFF_M, _YAW = 5.0, (0.3e-3, -0.7e-3), 0.03
"""Of the circle: how often it is gone round, from where to where the middle of its pushes goes on both axes, and how
far the yaw swings to and fro, once, meanwhile [rad]."""
_LANE, _LANES, _LEAVE = 0.012, 4, 0.06
"""Tilt about the other diagonal for each try that failed [rad], how many count, and how far the peg leans back [rad]
when it is lifted: the tries are counted on the way there."""
_OTHER_YAW = 0.02
"""By how much the second and fourth try have the peg turned one way, the third and fifth the other way [rad]."""
_ROCK, _ROCK_TURN, _SHARE = 0.025, 0.5, 0.5
"""In the hole the tilt goes round on a circle of this radius [rad], by this angle a step [rad], about this share of the
peg's own tilt: joints stand still under a spring that is a degree off, a jam does not stand a circle."""


@kernel
def corner_kernel(obs: FloatArray, chunk: NDArray[np.float32]) -> None:
    """Fill a chunk, shape (2, 6), for an observation, shape (24,): errors, command's errors, wrench, told rotation.

    Tilted by 13 deg about a diagonal, the peg's lowest corner comes down inside the hole over any error of what was
    told, and a push along the one side, then along the other, brings it to two walls, where place and yaw are known
    within the clearance. Mostly the peg sinks on the way; otherwise the command goes round on a small circle about the
    corner, yaw swinging, while the tilt is taken back. What did not succeed is lifted and done again, turned a little.

    Nothing is remembered but in the command itself: its tilt is the time since the first touch, and runs only while
    something is felt or the peg is in the hole; its tilt about the other diagonal counts the tries.

    Note:
        Tilting as a search: Chhatpar and Branicky, "Search strategies for peg-in-hole assemblies with position
        uncertainty" (2001). Places in the plane are complex numbers along the told sides, tilts along the diagonals:
        real about the one through the lowest corner, imaginary about the other.
    """
    sides = complex(obs[18], obs[19])
    sides /= abs(sides)
    diagonal = sides * complex(math.sqrt(0.5), math.sqrt(0.5))
    place, place_c = -complex(obs[0], obs[1]) / sides, -complex(obs[6], obs[7]) / sides
    tilt, tilt_c = -complex(obs[3], obs[4]) / diagonal, -complex(obs[9], obs[10]) / diagonal
    z, z_c, yaw, yaw_c = -obs[2], -obs[8], -obs[5], -obs[11]
    inside = min(max((-z - _SURE_M) / _BLEND_M, 0.0), 1.0)
    lane = min(max(round(tilt_c.real / _LANE), 0), _LANES)
    turned = _OTHER_YAW * (0.0 if lane == 0 else 1.0 if lane % 2 else -1.0)
    if z > _HOVER_M:
        move, lift, turn, twist = _aim(place_c, z_c, complex(lane * _LANE, _TILT) - tilt_c, turned - yaw_c)
    elif tilt_c.imag < _DONE and inside == 0.0:
        left = 0.015 if tilt_c.imag > -_LEAVE else 0.0
        move, lift, turn, twist = 0j, 0.003, left * complex(_LANE / (_LEAVE + _DONE), -1.0), 0.0
    else:
        touch = min(max((obs[14] - _TOUCH_N[0]) / (_TOUCH_N[1] - _TOUCH_N[0]), 0.0), 1.0)
        live = min(touch + max(_SECOND + 0.01 - tilt_c.imag, 0.0) / 0.01, 1.0)
        ahead, down, turn, to = _feel(tilt_c.imag, lane, touch)
        down += inside * (_PUSH_M - down)
        move = live * (1.0 - inside) * _within(0.5 * (place + ahead - place_c), _QUICK_M)
        move += inside * 0.5 * (place - place_c)
        lift = min(max(0.5 * (z - down - z_c), -0.002), 0.002)
        turn += inside * (_lie(tilt, tilt_c) - turn)
        twist = (1.0 - inside) * min(max(0.5 * (turned + to - yaw_c), -0.01), 0.01) + 0.25 * inside * (yaw - yaw_c)
    move, turn = move * sides, turn * diagonal
    chunk[0, 0], chunk[0, 1], chunk[0, 2] = move.real, move.imag, lift
    chunk[0, 3], chunk[0, 4], chunk[0, 5] = turn.real, turn.imag, twist


@kernel
def _aim(place_c: complex, z_c: float, turn: complex, twist: float) -> Step:
    """Return the step above the surface: beside the told place, tilted, then down."""
    aside = -complex(_BESIDE_M, _BESIDE_M) - place_c
    if abs(aside) < 0.0025 and abs(turn) < 0.02:
        lift = min(max(0.4 * (0.010 - z_c), -0.006), -0.0015)
    else:
        lift = 0.004 if z_c < 0.016 else 0.0
    return 0.4 * aside, lift, _within(0.5 * turn, 0.03), 0.5 * twist


@kernel
def _feel(tilt: float, lane: int, touch: float) -> tuple[complex, float, complex, float]:
    """Return how far the command is to be ahead of the peg, sideways and down [m], its turn and its yaw [rad]."""
    if tilt > _SECOND:
        return complex(_SIDE_M, 0.0), _SEARCH_M, complex(0.0, -_SLOWLY * touch), 0.0
    if tilt > _ROUND:
        return complex(0.0, _SIDE_M), _SEARCH_M, complex(0.0, -_SLOWLY * touch), 0.0
    part = min((_ROUND - tilt) / _ROUND, 1.0)
    angle = 2.0 * math.pi * _TURNS * part
    if lane % 2:
        angle = 0.5 * math.pi - angle
    middle = _OFF_M[0] + part * (_OFF_M[1] - _OFF_M[0])
    ahead = complex(middle, middle) + cmath.rect(_SIDE_M, angle)
    return ahead, _PRESS_M, complex(0.0, -_UPRIGHT * touch), _YAW * math.sin(2.0 * math.pi * part)


@kernel
def _lie(tilt: complex, tilt_c: complex) -> complex:
    """Return the turn in the hole: upright, then rocking about where the hole has the peg."""
    if tilt_c.imag > 0.045:
        return complex(0.0, -_LIE)
    middle = _SHARE * tilt
    off = tilt_c - middle
    return _within(middle + off * cmath.rect(_ROCK / max(abs(off), 1e-4), _ROCK_TURN) - tilt_c, 0.015)


@kernel
def _within(step: complex, most: float) -> complex:
    """Return a step of which neither part is more than `most`."""
    return complex(min(max(step.real, -most), most), min(max(step.imag, -most), most))
