"""Shapes that the arm keeps out of, as a cell file or a run file lists them under `keep_out`."""

import math

import msgspec

Vector = tuple[float, float, float]


class KeepOutBox(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="box"):
    """A box along the axes of `base` that the whole arm keeps out of: two corners [m]."""

    low: Vector
    high: Vector

    def __post_init__(self) -> None:
        if not all(low < high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(f"low {self.low} must be below high {self.high} on every axis")


class KeepOutSphere(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="sphere"):
    """A ball in `base` that the whole arm keeps out of [m]."""

    center: Vector
    radius: float

    def __post_init__(self) -> None:
        if not self.radius > 0.0:
            raise ValueError(f"radius = {self.radius} must be positive")


class KeepOutPlane(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="plane"):
    """The half space `normal . x <= offset` [m] in `base` that all links after the first keep out of."""

    normal: Vector
    offset: float

    def __post_init__(self) -> None:
        if not abs(math.hypot(*self.normal) - 1.0) <= 1e-6:
            raise ValueError(f"normal {self.normal} must have length 1")


KeepOut = KeepOutBox | KeepOutSphere | KeepOutPlane
