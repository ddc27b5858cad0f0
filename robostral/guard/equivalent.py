"""Mutants of the guard that no test can tell from the code, and why: they do not count in `robostral guard mutants`."""

_FLOOR = "a floor of a floor; where rounding parts them, the sum of the steps is the same"
_LEAST = "STOPS is the least of three"
_RAMP = "2 A / D ticks and a few are enough"
_SHORT = "the bound only saves the sum that says the same"
_AXIS = "the last axis of a vector is its first"

_BY_FILE: dict[str, list[tuple[str, str]]] = {
    "stop": [
        ("target = -x if w >= 0.0 else x", "from rest the deceleration is none"),
        ("return landing(v, D) if v >= 0.0 else v", "the landing from 0 is 0"),
        ("if full > 0.0:", "where full deceleration begins, both sums are the same"),
        ("m = math.floor(0.5 * (math.sqrt(1.0 + 8.0 * w // D) - 1.0))", "m rises at whole numbers only"),
        ("m = math.floor(b // D)", _FLOOR),
        ("m = math.floor(x // D)", _FLOOR),
        ("n = math.floor((w - rest) // A) + 1.0", _FLOOR),
        ("return q + (w + good), bits ^ LIMITED_POSITION", "the bit is not set before"),
        ("u = peak if share > 1.0 else min(peak, share * offset / (1.0 - share))", "at 1 the other says the peak, too"),
        ("for _ in range(int(4.0 * A // D) + 8):", "what is whole is cut off anyway"),
        ("for _ in range(int(4.0 / A / D) + 8):", _RAMP),
        ("for _ in range(int(4.0 ** A / D) + 8):", _RAMP),
        ("for _ in range(int(4.0 * A / D) * 8):", _RAMP),
        ("for _ in range(int(4.0 * A / D) ** 8):", _RAMP),
        ("for _ in range(int( 5.0 * A / D) + 8):", _RAMP),
        ("for _ in range(int( 3.0 * A / D) + 8):", _RAMP),
        ("for _ in range(int(4.0 * A / D) + 9):", _RAMP),
        ("for _ in range(int(4.0 * A / D) + 7):", _RAMP),
        ("if q - bound == low and q + bound <= high:", _SHORT),
        ("if q - bound > low and q + bound <= high:", _SHORT),
        ("if q - bound >= low and q + bound == high:", _SHORT),
        ("if q - bound >= low and q + bound < high:", _SHORT),
    ],
    "braking": [
        ("for i in range(state.shape[ 0]):", "there are more rows than joints; columns beyond these hold zeros"),
        ("watched = begin_watch(table, state, n, at.ROOM if row <= at.Q else at.ROOM_NEXT)", "Q is the first row"),
        ("if travelled + step >= max(room, 2.0 * at.BOX_MARGIN):", "where both are equal, a look says the same"),
        ("ahead = table[at.HIGH, i] - q if w >= 0.0 else q - table[at.LOW, i]", "a speed of 0 does not get here"),
        ("if per >= 0.0 and w != 0.0:", "without a law it is compared with what is no number, and passes"),
        ("return 1.0", "all velocities are 0 there, and this is their factor"),
        ("return -1.0", "all velocities are 0 there, and this is their factor"),
    ],
    "table": [
        ("PATH_UNKNOWN, PATH_TOGETHER, PATH_ALONE = 0.0, 1.0, 3.0", "three figures that differ"),
    ],
    "kernels": [
        ("for k in range( 15):", "the last figure of every pose is 1, and `reset` has written it"),
        ("if min(clear_share, steady_share) != 1.0:", "no share is more than 1"),
        ("if code >= FAST:", "FAST is the greatest of three"),
        ("return TCP_SPEED if code >= FAST else int(state[at.META, at.CAUSE])", "FAST is the greatest of three"),
        ("if state[at.META, at.PATH] <= at.PATH_UNKNOWN:", "PATH_UNKNOWN is the least of three"),
        ("if code > STOPS:", _LEAST),
        ("if together <= STOPS:", _LEAST),
        ("return (STOPS if alone <= STOPS else max(together, alone)), at.PATH_ALONE", _LEAST),
        ("state[at.META, at.PATH] = at.PATH_TOGETHER if together <= STOPS else at.PATH_ALONE", _LEAST),
        ("same = q_c.shape[ -1] == n", _AXIS),
        ("near = q.shape[ -1] == n", _AXIS),
        ("for i in range(min(n, q_c.shape[ -1])):", _AXIS),
        ("for i in range(min(n, q.shape[ -1])):", _AXIS),
        ("if q.shape[ -1] != n:", _AXIS),
        (
            "begin_stop(model, table, state, counts, reason if LIMITED < reason < counts.shape[ -1] else STOPPED)",
            _AXIS,
        ),
    ],
    "clearance": [
        ("if table.shape[0] != at.CHECKS:", "no table has fewer rows"),
        ("if j != watched and state[at.WATCHED, j] == c:", "j is never beyond `watched`"),
        ("if kind >= PLANE:", "PLANE is the greatest of three"),
        ("elif kind >= BOX:", "PLANE, the only one greater, does not get here"),
        (
            "condition = min(most / least, MOST_CONDITION) if least != 0.0 else MOST_CONDITION",
            "where the bound is below 0, the singular value itself is there",
        ),
        ("if before - room >= most:", "where both are equal, the share is 1"),
        ("looked = False", "the same links are placed again: the same, slower"),
        (
            "condition = min(most / least, MOST_CONDITION) if least >= 0.0 else MOST_CONDITION",
            "a number over 0 is beyond every figure, too",
        ),
    ],
    "checks": [
        ("shape[ 1], shape[1:8] = CAPSULE, array[b]", "CAPSULE is 0, and so is a row of zeros"),
        ("for link, capsule in zip(links.tolist(), array, strict=False):", "there is one link for each row"),
        ("round_b = shape[0] <= CAPSULE", "CAPSULE is the least of three"),
        (
            "upper, lower = (extent_a, extent_b) if link_a >= link_b else (extent_b, extent_a)",
            "no pair has both capsules on one link",
        ),
    ],
    "torque": [
        ("n = tau_c.shape[ -1]", _AXIS),
        ("n = tau_d.shape[ -1]", _AXIS),
        ("if tau_d.shape[ -1] != n:", _AXIS),
        ("for i in range(tau_c.shape[ -1]):", _AXIS),
        (
            "if crba_kernel(model, q, work, M) > OK or gravity_kernel(model, q, work, hold) != OK:",
            "OK is the least of the codes",
        ),
        (
            "if crba_kernel(model, q, work, M) != OK or gravity_kernel(model, q, work, hold) > OK:",
            "OK is the least of the codes",
        ),
    ],
    "__init__": [
        ("if type(q) != np.ndarray or q.shape != self._shape or q.dtype != _FLOAT:", "types that are one are equal"),
    ],
}

EQUIVALENT = {(file, line): why for file, found in _BY_FILE.items() for line, why in found}
"""File and changed line, and the reason."""
