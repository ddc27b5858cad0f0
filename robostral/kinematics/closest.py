"""Closest points between a segment and a point, a segment, a box or a plane, in registers.

Every function returns signed distance, unit normal from the other shape to the segment, point on the segment and point
on the other shape.

Note:
    Segments: Ericson, Real-Time Collision Detection (2005), section 5.1.9. Box: the squared distance of a moving point
    is piecewise quadratic and convex, so bisection over its at most 6 breakpoints finds the piece and one division its
    minimum. Real-time: no allocation.
"""

import math

from robostral.arm.chain import FloatArray
from robostral.jit import inlined, kernel
from robostral.kinematics.vector import Vec, add, cross, dot, scale

Contact = tuple[float, Vec, Vec, Vec]
_TINY = 1e-12


@inlined
def subtract(a: Vec, b: Vec) -> Vec:
    """Compute a - b."""
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


@kernel
def _any_normal(u: Vec, v: Vec) -> Vec:
    """Return a unit vector across both u and v, where two segments meet."""
    n = cross(u, v)
    if dot(n, n) < _TINY:
        n = cross(u, (0.0, 0.0, 1.0) if abs(u[2]) < 0.9 * math.sqrt(dot(u, u)) else (1.0, 0.0, 0.0))
    length = math.sqrt(dot(n, n))
    return scale(1.0 / length, n) if length > _TINY else (0.0, 0.0, 1.0)


@inlined
def _contact(x: Vec, y: Vec, u: Vec, v: Vec) -> Contact:
    """Measure between two points; where they meet, the normal is one across the directions u and v."""
    gap = subtract(x, y)
    distance = math.sqrt(dot(gap, gap))
    if distance < _TINY:
        return 0.0, _any_normal(u, v), x, y
    return distance, scale(1.0 / distance, gap), x, y


@inlined
def segment_segment(p: Vec, u: Vec, s: Vec, v: Vec) -> Contact:
    """Find the closest points of the segments from p along u and from s along v; u and v may be zero."""
    w = subtract(p, s)
    uu, vv, uv, uw, vw = dot(u, u), dot(v, v), dot(u, v), dot(u, w), dot(v, w)
    if uu <= _TINY:
        a = 0.0
        b = min(1.0, max(0.0, vw / vv)) if vv > _TINY else 0.0
    elif vv <= _TINY:
        a, b = min(1.0, max(0.0, -uw / uu)), 0.0
    else:
        across = uu * vv - uv * uv
        a = min(1.0, max(0.0, (uv * vw - uw * vv) / across)) if across > _TINY * uu * vv else 0.0
        b = (uv * a + vw) / vv
        if b < 0.0:
            a, b = min(1.0, max(0.0, -uw / uu)), 0.0
        elif b > 1.0:
            a, b = min(1.0, max(0.0, (uv - uw) / uu)), 1.0
    return _contact(add(p, scale(a, u)), add(s, scale(b, v)), u, v)


@inlined
def segment_plane(p: Vec, u: Vec, normal: Vec, offset: float) -> Contact:
    """Find the point of a segment deepest in the half space normal . x <= offset."""
    start, slope = dot(normal, p) - offset, dot(normal, u)
    x = add(p, u) if slope < 0.0 else p
    distance = start + min(0.0, slope)
    return distance, normal, x, subtract(x, scale(distance, normal))


@inlined
def _slope(p: Vec, u: Vec, half: Vec, t: float) -> float:
    """Return half the derivative of the squared distance between the box and p + t u."""
    total = 0.0
    for k in range(3):
        x = p[k] + t * u[k]
        if x > half[k]:
            total += (x - half[k]) * u[k]
        elif x < -half[k]:
            total += (x + half[k]) * u[k]
    return total


@inlined
def _nearest_on_segment(p: Vec, u: Vec, half: Vec) -> float:
    """Return the parameter in [0, 1] where the segment is nearest to the box."""
    low, high = 0.0, 1.0
    low_slope, high_slope = _slope(p, u, half, 0.0), _slope(p, u, half, 1.0)
    if low_slope >= 0.0:
        return 0.0
    if high_slope <= 0.0:
        return 1.0
    for k in range(6):
        axis = k >> 1
        edge = half[axis] if k & 1 else -half[axis]
        if abs(u[axis]) > _TINY:
            t = (edge - p[axis]) / u[axis]
            if low < t < high:
                slope = _slope(p, u, half, t)
                if slope < 0.0:
                    low, low_slope = t, slope
                else:
                    high, high_slope = t, slope
    return low - low_slope * (high - low) / (high_slope - low_slope)


@inlined
def _depth(p: Vec, u: Vec, half: Vec, t: float) -> float:
    return max(max(abs(p[0] + t * u[0]) - half[0], abs(p[1] + t * u[1]) - half[1]), abs(p[2] + t * u[2]) - half[2])


@kernel
def _deepest_on_segment(p: Vec, u: Vec, half: Vec) -> float:
    """Return the parameter in [0, 1] where the segment is deepest in the box: an end, or two faces are equally far."""
    best, least = 0.0, _depth(p, u, half, 0.0)
    depth = _depth(p, u, half, 1.0)
    if depth < least:
        best, least = 1.0, depth
    for i in range(6):
        for j in range(i):
            a, b = i >> 1, j >> 1
            sign_a, sign_b = 1.0 - 2.0 * (i & 1), 1.0 - 2.0 * (j & 1)
            slope = sign_a * u[a] - sign_b * u[b]
            if abs(slope) > _TINY:
                t = (sign_b * p[b] - half[b] - sign_a * p[a] + half[a]) / slope
                if 0.0 < t < 1.0:
                    depth = _depth(p, u, half, t)
                    if depth < least:
                        best, least = t, depth
    return best


@inlined
def segment_box(p: Vec, u: Vec, half: Vec) -> Contact:
    """Find the closest points of a segment and a box around the origin with these half extents.

    Where the segment meets the box the distance is minus the depth of its deepest point.
    """
    t = _nearest_on_segment(p, u, half)
    x = add(p, scale(t, u))
    y = (
        min(half[0], max(-half[0], x[0])),
        min(half[1], max(-half[1], x[1])),
        min(half[2], max(-half[2], x[2])),
    )
    gap = subtract(x, y)
    if dot(gap, gap) > _TINY * _TINY:
        return _contact(x, y, u, gap)
    x = add(p, scale(_deepest_on_segment(p, u, half), u))
    rx, ry, rz = abs(x[0]) - half[0], abs(x[1]) - half[1], abs(x[2]) - half[2]
    if rx >= ry and rx >= rz:
        depth, normal = rx, (math.copysign(1.0, x[0]), 0.0, 0.0)
    elif ry >= rz:
        depth, normal = ry, (0.0, math.copysign(1.0, x[1]), 0.0)
    else:
        depth, normal = rz, (0.0, 0.0, math.copysign(1.0, x[2]))
    return depth, normal, x, subtract(x, scale(depth, normal))


@inlined
def load(row: FloatArray, at: int) -> Vec:
    """Read a vector from a row."""
    return row[at], row[at + 1], row[at + 2]
