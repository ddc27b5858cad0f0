"""Periodic motion as a short Fourier series that begins and ends at rest.

Note:
    Swevers et al., "Optimal robot excitation and identification", IEEE Trans. Robotics and Automation 13 (1997).
"""

from dataclasses import dataclass

import numpy as np

from robostral.arm.chain import FloatArray

HARMONICS = 6


@dataclass(frozen=True, eq=False)
class Fourier:
    """Each joint's motion: `middle + sum_k a_k (cos(k w t) - 1) + b_k sin(k w t)`, with `w = 2 pi / period`.

    Attributes:
        period: Length of the motion [s].
        middle: Pose at begin and end [rad], shape (n,).
        a: Cosine weights [rad], shape (n, 6); the acceleration at the ends is 0 where `sum k² a = 0`.
        b: Sine weights [rad], shape (n, 6); the velocity there is 0 where `sum k b = 0`.
    """

    period: float
    middle: FloatArray
    a: FloatArray
    b: FloatArray

    def at(self, t: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Compute position and its first three derivatives, shape (m, n) each [rad, /s, /s², /s³]."""
        w = 2.0 * np.pi / self.period * np.arange(1, HARMONICS + 1)
        c, s = np.cos(np.outer(t, w)), np.sin(np.outer(t, w))
        a, b = self.a.T, self.b.T
        return (
            self.middle + (c - 1.0) @ a + s @ b,
            (c * w) @ b - (s * w) @ a,
            -(c * w**2) @ a - (s * w**2) @ b,
            (s * w**3) @ a - (c * w**3) @ b,
        )


def at_rest(period: float, middle: FloatArray, a: FloatArray, b: FloatArray) -> Fourier:
    """Make a motion from any weights, their parts that break the rest at the ends taken out."""
    k = np.arange(1.0, HARMONICS + 1)
    a = a - np.outer(a @ k**2 / (k**4).sum(), k**2)
    b = b - np.outer(b @ k / (k**2).sum(), k)
    return Fourier(period, middle, a, b)
