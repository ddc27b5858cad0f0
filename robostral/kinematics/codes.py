"""What every kernel returns: 0, or why its output is not to be used."""

OK = 0
BAD_SHAPE = 1
"""An array has the wrong shape; nothing was written."""
NOT_FINITE = 2
"""A NaN or an infinity came in; the output holds NaN."""
OUT_OF_LIMIT = 3
"""A joint position outside its limits."""
NO_SOLUTION = 4
"""No joint position inside the limits reaches the pose; the output holds the best one."""
