"""The loop process: build the parts, check that they fit, warm up, enter real time, run, leave."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np

from robostral import driver as drivers
from robostral.arm import Arm, Chain
from robostral.bundle import Bundle
from robostral.bundle import load as load_bundle
from robostral.bundle.trust import Plant
from robostral.contract import Sealed
from robostral.control.law import command_mode_of, law_of
from robostral.driver import Driver, DriverInfo, load_driver
from robostral.errors import ConfigError, ContractMismatch, RequirementsNotMet
from robostral.guard import Guard, Workspace
from robostral.identified import ContactObserver, IdentifiedArm, load_arm_bundle
from robostral.requirements import check_profile, check_requirements
from robostral.runtime import pace, realtime
from robostral.runtime.config import DriverConfig, RunConfig
from robostral.runtime.external import External
from robostral.runtime.loop import Loop
from robostral.runtime.mailbox import Mailbox
from robostral.runtime.motion import Motion
from robostral.runtime.options import LoopOptions, check_abilities, site_arm
from robostral.runtime.path import ChunkPath
from robostral.runtime.reporter import Reporter
from robostral.runtime.sizes import sizes_of
from robostral.signals import Signals


def build_driver(config: DriverConfig) -> Driver:
    """Build a driver from its preset.

    Raises:
        UnknownName: No installed package registers this driver.
        ConfigError: It does not take one of the options.
    """
    points = {point.name: point for point in entry_points(group=drivers.GROUP)}
    if config.name in points:
        known = list(inspect.signature(points[config.name].load()).parameters)
        for option in config.options.keys() - set(known):
            near = get_close_matches(option, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f" (options: {', '.join(known)})"
            raise ConfigError(f"driver '{config.name}' has no option '{option}'{hint}")
    return load_driver(config.name, **config.options)


def check_fit(config: RunConfig, info: DriverInfo, arm: Arm, bundle: Bundle) -> None:
    """Refuse parts that do not belong together; what is checked here need not be checked in a tick.

    Raises:
        ConfigError: The driver moves another arm, or does not take what the policy's law commands.
        ContractMismatch: Its joints have another order.
        RequirementsNotMet: The bundle asks for another control rate, kinematics or limits.
    """
    if info.arm != arm.name:
        raise ConfigError(f"driver '{info.name}' moves the arm '{info.arm}', the preset says '{arm.name}'")
    if arm.simulation_only and not info.is_twin:
        raise ConfigError(
            f"nobody vouches for the limits of arm '{arm.name}', so it runs in simulation only; "
            "`robostral arm limits` writes the scaffold of a profile"
        )
    if info.joint_names != arm.chain.joint_names:
        order = f"joint order {list(info.joint_names)} != {list(arm.chain.joint_names)}"
        raise ContractMismatch(f"driver '{info.name}'", f"arm '{arm.name}'", [order])
    check_abilities(bundle.sealed.contract, info)
    check_profile(arm)
    mode = command_mode_of(bundle.sealed.contract)
    check_requirements(bundle.requirements, arm, control_hz=info.rate_hz, command_mode=mode)


def options_of(config: RunConfig, bundle: Bundle, session: int, info: DriverInfo, arm: Arm) -> LoopOptions:
    """Translate the preset for the loop."""
    box, mode, identified = config.workspace, command_mode_of(bundle.sealed.contract), None
    if config.identified is not None:
        trust = Path(config.trust) if config.trust else None
        plant: Plant = "twin" if info.is_twin else "real"
        identified = load_arm_bundle(config.identified, plant=plant, trusted_keys=trust)

    def fits(chain: Chain) -> bool:
        try:
            check_requirements(
                bundle.requirements, replace(arm, chain=chain), control_hz=info.rate_hz, command_mode=mode
            )
        except RequirementsNotMet:
            return False
        return True

    return LoopOptions(
        home=None if config.home is None else np.array(config.home, dtype=np.float64),
        workspace=Workspace(box.low, box.high) if box else None,
        keep_out=config.keep_out,
        payload=config.payload,
        energy=np.inf if config.energy is None else config.energy,
        identified=identified,
        stop_on_contact=config.stop_on_contact,
        reduced=config.reduced,
        max_chunk_age_s=config.max_chunk_age_s,
        speed=config.speed,
        session=session,
        bundle=int.from_bytes(bundle.digest[:8], "little"),
        max_latency_s=bundle.requirements.max_latency_s,
        strict=not info.is_twin and not config.accept_late_wakeups,
        fits=fits,
    )


def warm_up(arm: Arm, sealed: Sealed, dt: float, identified: IdentifiedArm | None = None) -> None:
    """Compile every kernel of a tick, or load it from its cache, on parts of its own: nothing of the run is touched."""
    guard, n = Guard(arm.chain, arm.limits, dt), arm.chain.n
    signals, action = Signals(sealed.contract, arm.chain), sealed.contract.action
    path, q_d = ChunkPath(signals, guard, action.horizon, action.dt_s), np.empty(n)
    obs, external = np.zeros(signals.obs_size, np.float32), External(sealed.contract).value
    q = arm.home.copy()  # a read-only array would compile other kernels than the ones that run
    guard.reset(q)
    motion = Motion(guard, 1.0)
    motion.begin_move(q + np.copysign(1e-3, -q))
    motion.move()
    motion.jog.tcp(np.zeros(6), 0)
    motion.follow_jog(0)
    path.adopt(np.zeros((action.horizon, n), np.float32), 0, 0, 1)
    path.set_point(1.0, q_d)
    guard.step(q_d)
    guard.coast()
    guard.measure(q)
    law_of(sealed.contract, guard, identified)(q, q_d, np.empty(n))
    if identified is not None:
        ContactObserver(identified, arm.chain, dt).step(q, q_d, np.zeros(n))
    guard.brake()
    signals.observe(q, q_d, q_d, external, obs, np.zeros(signals.sensor_size))
    Reporter(Mailbox(sizes_of(sealed.contract, arm)), arm.chain).publish(q, q_d, q_d, external)


def build_loop(config: RunConfig, driver: Driver, mailbox: Mailbox, clock: realtime.Clock, session: int) -> Loop:
    """Build the loop around a connected driver, once everything fits.

    Raises:
        BundleRefused: The bundle is damaged, or not signed by whom this plant needs.
        ConfigError: The preset names another arm, home or rate than the driver and the contract.
        ContractMismatch: Joints differ.
        RequirementsNotMet: The bundle asks for another plant.
    """
    info, arm = driver.info, site_arm(config)
    trust = Path(config.trust) if config.trust else None
    bundle = load_bundle(config.bundle, plant="twin" if info.is_twin else "real", trusted_keys=trust)
    check_fit(config, info, arm, bundle)
    options = options_of(config, bundle, session, info, arm)
    loop = Loop(driver, arm, bundle.sealed, mailbox, clock, options)
    warm_up(arm, bundle.sealed, loop.dt, options.identified)
    return loop


def run_loop(
    config: RunConfig,
    mailbox: Mailbox,
    session: int,
    leaving: Callable[[], bool],
    say_ready: Callable[[str], None],
) -> None:
    """Be the loop process until asked to leave: a jerk-limited stop first, then the plant's own.

    Args:
        config: The preset.
        mailbox: Shared with transport and recorder.
        session: Number of the first session.
        leaving: Whether to leave.
        say_ready: Told what the system did not give.

    Raises:
        RobostralError: A part is missing, refuses, or does not fit; nothing has moved then.
    """
    driver, clock = build_driver(config.driver), realtime.RealClock()
    try:
        # The vendor's client starts threads of its own. As ordinary ones they would starve on this core while a call
        # of the loop waits for what they receive.
        realtime.precede()
        driver.connect()
        loop = build_loop(config, driver, mailbox, clock, session)
        missing = realtime.enter(config.core)
        loop.tick()  # the first one touches every page; nothing is written before `rearm`
        say_ready("; ".join(missing))
        try:
            pace.run(loop, clock, leaving)
        finally:
            driver.stop()
    finally:
        driver.close()
