"""One joint in discrete time: how it stops, and which step nearest to the wanted one keeps a stop possible.

All figures are per tick, so that limits on emitted commands are limits on plain differences:
w = q_k - q_{k-1} (velocity times dt), b = w_k - w_{k-1} (acceleration times dt²), and |b_{k+1} - b_k| <= D
(jerk times dt³), |b| <= A, |w| <= V.

Note:
    The stop is a law without memory, b' = clip(-sign(w) x(|w|), b - D, b + D) within +-A, where x(w) is the greatest
    deceleration that can still be ramped to zero at D per tick without the velocity changing sign:
    w = x + (x - D) + (x - 2 D) + ... . It lands on w = 0, b = 0 exactly, at any ratio A / D, because x(w - x) = x - D.
    A step is allowed when the whole stop that begins after it stays inside the limits; the stop itself then is a
    witness that the next step exists as well (recursive feasibility by induction). Real-time: no allocation.
"""

import math

from robostral.jit import kernel

LIMITED_POSITION = 1
LIMITED_VELOCITY = 2
LIMITED_ACCELERATION = 4
LIMITED_JERK = 8
LIMITED_TCP_SPEED = 16
LIMITED_CLEARANCE = 32
LIMITED_CONDITIONING = 64
"""Bits of `Guard.limited`: which limits changed the command."""

BISECTIONS = 24
"""Halvings of the at most 2 D wide search for the greatest allowed step: leaves 1e-7 D."""


@kernel
def landing(w: float, D: float) -> float:
    """Compute the deceleration x that solves w = x + (x - D) + (x - 2 D) + ... (positive terms), for w >= 0."""
    m = math.floor(0.5 * (math.sqrt(1.0 + 8.0 * w / D) - 1.0))
    return (w + 0.5 * D * m * (m + 1.0)) / (m + 1.0)


@kernel
def ramp(b: float, D: float) -> float:
    """Compute the velocity gained while an acceleration b >= 0 is ramped to zero: (b - D) + (b - 2 D) + ... ."""
    m = math.floor(b / D)
    return m * (b - 0.5 * D * (m + 1.0))


@kernel
def stop_step(w: float, b: float, A: float, D: float) -> float:
    """Compute the next acceleration of the joint's own fastest stop."""
    x = min(landing(abs(w), D), A)
    target = -x if w > 0.0 else x
    return min(max(target, b - D), b + D)


@kernel
def stop_extent(w: float, b: float, A: float, D: float) -> tuple[float, float]:
    """Compute the least and the greatest displacement on the way of `stop_step` to rest: (lowest <= 0, highest >= 0).

    Only the ramp to full deceleration is stepped, 2 A / D ticks at most; the rest is summed in closed form.
    """
    p = lowest = highest = 0.0
    for _ in range(int(4.0 * A / D) + 8):
        x = min(landing(abs(w), D), A)
        target = -x if w > 0.0 else x
        clipped = min(max(target, b - D), b + D)
        on_curve = clipped == target
        if on_curve:
            break
        b = clipped
        w += b
        p += w
        lowest, highest = min(lowest, p), max(highest, p)
    p += math.copysign(_landing_distance(abs(w), A, D), w)
    return min(lowest, p), max(highest, p)


@kernel
def _landing_distance(w: float, A: float, D: float) -> float:
    """Sum the steps of a stop from w >= 0 that has reached -A or the landing curve already."""
    full = landing(w, D) - A
    p = 0.0
    if full >= 0.0:
        rest = A + ramp(A, D)
        n = math.floor((w - rest) / A) + 1.0
        p = n * w - 0.5 * A * n * (n + 1.0)
        w = max(w - n * A, 0.0)
    x = landing(w, D)
    m = math.floor(x / D)
    return p + m * (m + 1.0) * (0.5 * x - D * (2.0 * m + 1.0) / 6.0)


@kernel
def peak_bound(w: float, b: float, D: float) -> float:
    """Compute an upper bound of |velocity| on the way of any stop that ramps b to zero at D per tick at least."""
    return abs(w) + 0.5 * abs(b) * (abs(b) / D + 1.0)


@kernel
def stop_bound(w: float, b: float, A: float, D: float) -> float:
    """Compute an upper bound of |displacement| on the way of `stop_step` to rest, in a few operations."""
    peak = peak_bound(w, b, D)
    return peak * ((2.0 * A + abs(b)) / D + 4.0 + 0.5 * peak / A)


@kernel
def taper_room(w: float, b: float, A: float, D: float, offset: float, per: float) -> float:
    """Compute how far before a position limit the stop must end, so that it keeps the speed limit near that limit.

    The vendor's law is (speed + offset)² per <= distance, with per = 1 / (2 deceleration). A stop that ends at e and
    decelerates by A at most is at least e + u² / 2 A away when its speed is u, so it keeps the law if
    e >= (u + offset)² per - u² / 2 A at every u from 0 to its peak; that rises up to
    u = 2 per A offset / (1 - 2 per A), or for ever. `per` 0 is no law. The room never grows along the stop.
    """
    peak = max(w, w + ramp(max(b, 0.0), D))
    if peak <= 0.0:
        return 0.0
    share = 2.0 * per * A
    u = peak if share >= 1.0 else min(peak, share * offset / (1.0 - share))
    return per * (u + offset) * (u + offset) - 0.5 * u * u / A


@kernel
def stop_fits(
    q: float, w: float, b: float, low: float, high: float, A: float, D: float, offset: float, per: float
) -> bool:
    """Tell whether the stop from here stays within [low, high], and keeps the speed limit near them."""
    low += taper_room(-w, -b, A, D, offset, per)
    high -= taper_room(w, b, A, D, offset, per)
    bound = stop_bound(w, b, A, D)
    if q - bound >= low and q + bound <= high:
        return True
    down, up = stop_extent(w, b, A, D)
    return q + down >= low and q + up <= high


@kernel
def speed_room(v: float, D: float) -> float:
    """Compute the greatest acceleration after which the velocity still stays below a limit that is v away."""
    return landing(v, D) if v > 0.0 else v


@kernel
def limit_step(
    q: float,
    w: float,
    b: float,
    q_d: float,
    low: float,
    high: float,
    V: float,
    A: float,
    D: float,
    offset: float,
    per: float,
) -> tuple[float, int]:
    """Compute the allowed next position nearest to `q_d`, and the bits of the limits that moved it.

    Args:
        q: Last command.
        w: Its first difference.
        b: Its second difference.
        q_d: Wanted position, finite; returned bit for bit when it is allowed.
        low: Least position.
        high: Greatest position.
        V: Limit of |w|.
        A: Limit of |b|.
        D: Limit of the change of b.
        offset: Of the speed limit near a position limit, see `taper_room`.
        per: Its 1 / (2 deceleration); 0 for no such limit.
    """
    wanted = (q_d - q) - w
    x = wanted
    bits = 0
    up, down = speed_room(V - w, D), -speed_room(V + w, D)
    if x > up or x < down:
        x = min(max(x, down), up)
        bits |= LIMITED_VELOCITY
    if abs(x) > A:
        x = min(max(x, -A), A)
        bits |= LIMITED_ACCELERATION
    if x > b + D or x < b - D:
        x = min(max(x, b - D), b + D)
        bits |= LIMITED_JERK
    q_next = q + (w + x) if bits else q_d
    if stop_fits(q_next, w + x, x, low, high, A, D, offset, per):
        return q_next, bits
    good, bad = stop_step(w, b, A, D), x
    for _ in range(BISECTIONS):
        x = 0.5 * (good + bad)
        if stop_fits(q + (w + x), w + x, x, low, high, A, D, offset, per):
            good = x
        else:
            bad = x
    return q + (w + good), bits | LIMITED_POSITION
