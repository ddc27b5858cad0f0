"""What a run is made of: the preset under `configs/run/`, and the same text on the command line."""

from pathlib import Path

import msgspec

from robostral.keep_out import KeepOut


class DriverConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A driver by its registered name, and the keyword arguments it is built with."""

    name: str
    options: dict[str, str | int | float | bool] = {}


class Box(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the tcp may be: two corners [m] in `base`."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]


class SignalSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who publishes external signals: its address, and a folder with its `server.pub` and our pair."""

    endpoint: str
    keys: str


class RunConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One cell at run time.

    Attributes:
        arm: Arm by name; the driver must name the same.
        driver: Our side of the plant's wire.
        bundle: Policy by name or path; the server must serve the very same manifest.
        server: Endpoint of the policy server.
        keys: Folder with our key pair and the server's public key.
        trust: Folder with the public keys of those who may sign bundles; None takes the default.
        home: Joint position of `home` [rad]; None takes the arm's own.
        poses: Further joint positions [rad] by the name that `robostral ctl move_to` knows them by.
        tool: Pose of the tcp in the flange, x y z [m] and w x y z of a quaternion; None takes the arm's own.
        signals: Who publishes the external signals that the policy needs.
        accept_late_wakeups: Arm a real plant even where the self-test found wake-ups later than half a period.
        workspace: Where the tcp may be; None sets no bound.
        keep_out: Shapes in `base` that the whole arm keeps out of.
        payload: What the flange carries: mass [kg] and centre of mass in it, x y z [m]; for policies in torque mode,
            whose law holds it up. A position controller is told by `robostral ctl payload`.
        energy: Greatest kinetic energy of the arm in torque mode [J]; None sets no bound.
        identified: Arm bundle of `robostral identify`, for a driver that measures torques: inertias and friction for
            the law of torques, and the torques from outside in the log; None for none.
        stop_on_contact: Stop where a torque from outside passes the bundle's thresholds, with its rate of false alarms.
        reduced: Limit the tcp to 250 mm/s, for work with people in the cell.
        max_chunk_age_s: The site's own cap on the age of a chunk [s]; the contract's `chunk_valid_s` holds anyway.
        speed: Speed override at the start, (0, 1].
        core: Processor of the loop; None takes the last one.
        runs: Folder that run folders are made in.
        name: What the robot is called towards the server, and in the name of the run folder.
    """

    arm: str
    driver: DriverConfig
    bundle: str
    server: str
    keys: str
    trust: str | None = None
    home: tuple[float, ...] | None = None
    poses: dict[str, tuple[float, ...]] = {}
    tool: tuple[float, float, float, float, float, float, float] | None = None
    signals: tuple[SignalSource, ...] = ()
    accept_late_wakeups: bool = False
    workspace: Box | None = None
    keep_out: tuple[KeepOut, ...] = ()
    payload: tuple[float, float, float, float] | None = None
    energy: float | None = None
    identified: str | None = None
    stop_on_contact: bool = False
    reduced: bool = False
    max_chunk_age_s: float = 1.0
    speed: float = 1.0
    core: int | None = None
    runs: str = "runs"
    name: str = "robot"

    def __post_init__(self) -> None:
        if not 0.0 < self.speed <= 1.0:
            raise ValueError(f"speed = {self.speed:g} is outside (0, 1]")
        if self.payload and not self.payload[0] >= 0.0:
            raise ValueError(f"payload = {self.payload[0]:g} kg is negative")
        if self.energy is not None and not self.energy > 0.0:
            raise ValueError(f"energy = {self.energy:g} J is not above 0")
        if not self.max_chunk_age_s > 0.0:
            raise ValueError(f"max_chunk_age_s = {self.max_chunk_age_s:g} is not above 0")
        if self.workspace and not all(lo < hi for lo, hi in zip(self.workspace.low, self.workspace.high, strict=True)):
            raise ValueError("workspace: every number of low must be below that of high")

    @property
    def runs_folder(self) -> Path:
        """Folder that run folders are made in."""
        return Path(self.runs).expanduser()
