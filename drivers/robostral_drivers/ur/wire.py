"""Frames and fields of Universal Robots' real-time data exchange (RTDE), protocol version 2.

Note:
    Frame: big-endian `uint16 size, uint8 kind, payload`, where size counts the whole frame. Source: UR's RTDE guide and
    UniversalRobots/RTDE_Python_Client_Library (rtde/rtde.py, rtde/serialize.py).
"""

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from operator import itemgetter
from typing import Any

DASHBOARD_PORT, SCRIPT_PORT, RTDE_PORT = 29999, 30003, 30004
PROTOCOL_VERSION = 2
HEADER = struct.Struct(">HB")

Value = int | float | bool


class Kind(IntEnum):
    """What a frame carries."""

    PROTOCOL_VERSION = ord("V")
    CONTROLLER_VERSION = ord("v")
    TEXT = ord("M")
    DATA = ord("U")
    SETUP_OUTPUTS = ord("O")
    SETUP_INPUTS = ord("I")
    START = ord("S")
    PAUSE = ord("P")


class RuntimeState(IntEnum):
    """Field `runtime_state`: what the robot program does."""

    STOPPING, STOPPED, PLAYING, PAUSING, PAUSED, RESUMING = range(6)


class RobotMode(IntEnum):
    """Field `robot_mode`."""

    POWER_OFF = 3
    POWER_ON = 4
    IDLE = 5
    RUNNING = 7


class SafetyMode(IntEnum):
    """Field `safety_mode`; each has a bit of its own in `safety_status_bits`."""

    NORMAL = 1
    PROTECTIVE_STOP = 3
    ROBOT_EMERGENCY_STOP = 7


class Status(IntEnum):
    """Bits of `robot_status_bits`."""

    POWER_ON = 1
    PROGRAM_RUNNING = 2


class Safety(IntEnum):
    """Bits of `safety_status_bits`."""

    NORMAL_MODE = 1 << 0
    PROTECTIVE_STOPPED = 1 << 2
    ROBOT_EMERGENCY_STOPPED = 1 << 6
    EMERGENCY_STOPPED = 1 << 7
    STOPPED_DUE_TO_SAFETY = 1 << 10


_FORMATS = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT32": "I",
    "UINT64": "Q",
    "INT32": "i",
    "DOUBLE": "d",
    "VECTOR3D": "3d",
    "VECTOR6D": "6d",
    "VECTOR6INT32": "6i",
    "VECTOR6UINT32": "6I",
}
NOT_FOUND, IN_USE = "NOT_FOUND", "IN_USE"


def _registers(direction: str) -> dict[str, str]:
    fields = {f"{direction}_bit_registers0_to_31": "UINT32", f"{direction}_bit_registers32_to_63": "UINT32"}
    fields |= {f"{direction}_bit_register_{i}": "BOOL" for i in range(64, 128)}
    fields |= {f"{direction}_int_register_{i}": "INT32" for i in range(48)}
    return fields | {f"{direction}_double_register_{i}": "DOUBLE" for i in range(48)}


def _fields(**names_by_type: str) -> dict[str, str]:
    return {name: kind for kind, names in names_by_type.items() for name in names.split()}


OUTPUTS = _fields(
    DOUBLE="""timestamp actual_execution_time speed_scaling target_speed_fraction actual_momentum actual_main_voltage
        actual_robot_voltage actual_robot_current standard_analog_input0 standard_analog_input1 standard_analog_output0
        standard_analog_output1 io_current tool_analog_input0 tool_analog_input1 tool_output_current tool_temperature
        tcp_force_scalar payload joint_position_deviation_ratio collision_detection_ratio""",
    VECTOR6D="""target_q target_qd target_qdd target_current target_moment actual_q actual_qd actual_current
        actual_current_window joint_control_output actual_TCP_pose actual_TCP_speed actual_TCP_force target_TCP_pose
        target_TCP_speed joint_temperatures actual_joint_voltage ft_raw_wrench payload_inertia tcp_offset""",
    VECTOR3D="actual_tool_accelerometer elbow_position elbow_velocity payload_cog",
    VECTOR6INT32="joint_mode",
    INT32="robot_mode safety_mode safety_status tool_output_voltage time_scale_source",
    UINT32="""runtime_state robot_status_bits safety_status_bits analog_io_types tool_mode tool_analog_input_types
        script_control_line""",
    UINT64="actual_digital_input_bits actual_digital_output_bits",
    UINT8="tool_output_mode tool_digital_output0_mode tool_digital_output1_mode",
) | _registers("output")
"""Outputs of a PolyScope 5.12 controller by name."""

INPUTS = _fields(
    UINT32="speed_slider_mask",
    DOUBLE="speed_slider_fraction standard_analog_output_0 standard_analog_output_1",
    UINT8="""standard_digital_output_mask standard_digital_output configurable_digital_output_mask
        configurable_digital_output tool_digital_output_mask tool_digital_output standard_analog_output_mask
        standard_analog_output_type""",
    VECTOR6D="external_force_torque",
) | _registers("input")
"""Inputs of a PolyScope 5.12 controller by name."""


class Memory:
    """The controller's fields as one flat list, so that a recipe packs with one call.

    Attributes:
        types: Type of each field by name.
        values: All values, one after the other.
        slots: Where each field lives in `values`.
    """

    def __init__(self, types: dict[str, str]) -> None:
        self.types = types
        self.values: list[Any] = []
        self.slots: dict[str, slice] = {}
        for name, kind in types.items():
            blank = struct.Struct(">" + _FORMATS[kind])
            start = len(self.values)
            self.values += blank.unpack(bytes(blank.size))
            self.slots[name] = slice(start, len(self.values))

    def __setitem__(self, name: str, value: Value | Sequence[Value]) -> None:
        self.values[self.slots[name]] = value if isinstance(value, Sequence) else (value,)

    def __getitem__(self, name: str) -> Any:
        """Return a number, or a list for a vector."""
        found = self.values[self.slots[name]]
        return found[0] if len(found) == 1 else found


class Recipe:
    """An agreed order of fields, compiled.

    Args:
        memory: Where the fields live.
        names: Their order on the wire.
        recipe_id: First byte of each data package.
    """

    def __init__(self, memory: Memory, names: Sequence[str], recipe_id: int) -> None:
        self.names, self.recipe_id = tuple(names), recipe_id
        self._values = memory.values
        self._indices = [i for name in names for i in range(memory.slots[name].start, memory.slots[name].stop)]
        self._gather = itemgetter(*self._indices)
        self._struct = struct.Struct(">B" + "".join(_FORMATS[memory.types[name]] for name in names))
        self._head = HEADER.pack(HEADER.size + self._struct.size, Kind.DATA)

    def pack(self) -> bytes:
        """Pack the present values into a data frame."""
        found = self._gather(self._values)
        return self._head + self._struct.pack(self.recipe_id, *(found if len(self._indices) > 1 else (found,)))

    def unpack(self, payload: bytes) -> bool:
        """Store the values of a data payload; False if it is too short.

        What follows the last field is left unread: ur_rtde 1.6.5 sends 12 numbers of getForwardKinematics under a
        recipe of 6 when the tcp is zero; the registers of the tcp then keep what was in them.
        """
        if len(payload) < self._struct.size:
            return False
        for index, value in zip(self._indices, self._struct.unpack_from(payload)[1:], strict=True):
            self._values[index] = value
        return True


def frame(kind: Kind, payload: bytes = b"") -> bytes:
    """Build a frame."""
    return HEADER.pack(HEADER.size + len(payload), kind) + payload


def text(message: str, source: str = "controller", level: int = 2) -> bytes:
    """Build a text frame; level 0 exception, 1 error, 2 warning, 3 information."""
    body, origin = message.encode()[:255], source.encode()[:255]
    return frame(Kind.TEXT, bytes([len(body)]) + body + bytes([len(origin)]) + origin + bytes([level]))


class BrokenFrame(ValueError):
    """A header whose size cannot be right; nothing after it can be trusted."""


class Splitter:
    """Cuts a byte stream into frames."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the kind and payload of every frame that is complete.

        Raises:
            BrokenFrame: A size below that of the header.
        """
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            size, kind = HEADER.unpack_from(self._buffer)
            if size < HEADER.size:
                raise BrokenFrame(f"a frame of {size} bytes is shorter than its header")
            if len(self._buffer) < size:
                return
            payload, self._buffer = self._buffer[HEADER.size : size], self._buffer[size:]
            yield kind, payload


def split_names(payload: bytes) -> list[str]:
    """Read a comma-separated list of field names; clients may end it with a comma."""
    return [name for name in payload.decode("ascii", errors="replace").split(",") if name]
