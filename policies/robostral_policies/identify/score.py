"""How good a fit is on motion that it did not see, joint by joint."""

from dataclasses import dataclass

import numpy as np
from scipy.signal import savgol_filter

from robostral.arm.chain import FloatArray
from robostral_policies.identify.prepare import Motion


@dataclass(frozen=True)
class Score:
    """Figures of one joint on held-out motion.

    Attributes:
        joint: Its name.
        family: Its friction family.
        nmse: Mean squared error over the variance of the torque.
        nmse_least_squares: That of least squares on the same rows.
        nmse_published: That of the published inertias with the same friction model fitted beside them.
        residual_percent: Root mean square error over root mean square torque [%].
        noise_floor: Variance of the torque's noise over its variance: no model gets below.
        coverage: Share of rows inside the 90 % interval.
    """

    joint: str
    family: str
    nmse: float
    nmse_least_squares: float
    nmse_published: float
    residual_percent: float
    noise_floor: float
    coverage: float


def nmse(error: FloatArray, tau: FloatArray) -> FloatArray:
    """Compute mean squared errors over the variance of the torque, shape (n,)."""
    found: FloatArray = (error**2).mean(axis=0) / np.maximum(tau.var(axis=0), 1e-12)
    return found


def noise_floor(motion: Motion) -> FloatArray:
    """Estimate the noise of the torque channel over its variance, shape (n,).

    What a local parabola over seven samples leaves is noise, less the share of it that the parabola follows.
    """
    tau = motion.raw[2]
    left = tau - savgol_filter(tau, 7, 2, axis=0)
    followed = savgol_filter(np.eye(1, 15, 7)[0], 7, 2)[7]
    found: FloatArray = left.var(axis=0) / (1.0 - followed) / np.maximum(tau.var(axis=0), 1e-12)
    return found
