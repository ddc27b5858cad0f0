"""What the loop cannot carry out is refused before anything is armed, in one line."""

from dataclasses import replace

import msgspec
import pytest
from tiny_bundle import contract

from robostral.arm import load_arm
from robostral.contract import Contract, Device, Impedance
from robostral.driver import DriverInfo
from robostral.errors import ConfigError
from robostral.runtime.options import check_abilities
from robostral.signals import obs_field

PLAIN = contract()
INFO = DriverInfo("sim", "tiny", PLAIN.devices[0].joints, True, ("joint_position",), 500.0)
GRIPPER = Device("gripper", ("gap",), (1,))
SOFT = Impedance((800.0,) * 3 + (40.0,) * 3, (1.0,) * 6, 5.0)


def test_joint_positions_are_all_that_a_policy_may_need():
    check_abilities(PLAIN, INFO)


@pytest.mark.parametrize(
    ("other", "fact"),
    [
        (msgspec.structs.replace(PLAIN, devices=(*PLAIN.devices, GRIPPER)), "commands the tool 'gripper' .gap."),
        (msgspec.structs.replace(PLAIN, obs=(*PLAIN.obs, obs_field("wrench", load_arm("ur5e").chain))), "sees wrench"),
    ],
)
def test_what_this_driver_cannot_do_is_named(other: Contract, fact: str):
    with pytest.raises(ConfigError, match=f"{fact}.*; driver 'sim' offers joints only"):
        check_abilities(other, INFO)


def test_the_law_names_the_command_mode_that_it_needs():
    soft = msgspec.structs.replace(PLAIN, action=msgspec.structs.replace(PLAIN.action, impedance=SOFT))
    with pytest.raises(ConfigError, match=r"driver 'sim' takes no joint_torque.*\(modes: joint_position\)"):
        check_abilities(soft, INFO)
    check_abilities(soft, replace(INFO, command_modes=("joint_position", "joint_torque")))


def test_a_driver_that_feels_is_enough_for_a_policy_by_feel():
    other = msgspec.structs.replace(PLAIN, obs=(*PLAIN.obs, obs_field("wrench", load_arm("ur5e").chain)))
    check_abilities(other, replace(INFO, senses=("wrench",)))
