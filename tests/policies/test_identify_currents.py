"""Logs of motor currents: the constants come out, and so do the torques."""

from dataclasses import replace

import numpy as np
import pytest
from robostral_policies.identify.currents import motor_constants
from robostral_policies.identify.fourier import HARMONICS, at_rest
from robostral_policies.identify.log import Log, LogRefused
from robostral_policies.identify.planted import FINE_HZ, RECORDERS, Truth, record
from robostral_policies.identify.prepare import prepare

from robostral.arm import load_arm

ARM = load_arm("ur10")


def planted() -> Log:
    weights = 0.18 * np.random.default_rng(4).normal(size=(2, ARM.chain.n, HARMONICS))
    t = np.arange(0.0, 20.0, 1.0 / FINE_HZ)
    q, dq, ddq, _ = at_rest(20.0, ARM.home, weights[0], weights[1]).at(t)
    size = np.array([10.0, 10.0, 5.0, 2.0, 2.0, 2.0])
    truth = Truth(ARM, np.full(ARM.chain.n, 0.1), ("viscous_coulomb",) * ARM.chain.n, size)
    return record(truth, RECORDERS["ur"], (t, q, dq, ddq), 0, "planted")[0]


def test_motor_constants_are_found_where_the_arm_is_as_published() -> None:
    log = planted()
    constants = np.array([12.0, 12.0, 9.0, 8.0, 7.0, 6.0])
    motions, _ = prepare(replace(log, tau=log.tau / constants, currents=True), ARM)
    found, doubts = motor_constants(ARM, motions)
    np.testing.assert_allclose(found[:4], constants[:4], rtol=0.05)
    # A wrist's current is nearly all friction: the last joint has no scale of its own.
    assert doubts
    assert "'wrist_3_joint' is all friction" in doubts[-1]


def test_current_of_the_wrong_sign_is_refused() -> None:
    log = planted()
    motions, _ = prepare(replace(log, tau=-log.tau, currents=True), ARM)
    with pytest.raises(LogRefused, match="is its sign right"):
        motor_constants(ARM, motions)
