"""The tasks' contracts are laid out alike."""

from robostral_sims.tasks.contracts import contract_of, joint_action, tcp_action

from robostral.arm import load_arm
from robostral.contract import Device

ARM = load_arm("panda")


def test_a_tool_is_the_last_number_and_the_second_device():
    action = tcp_action(ARM, (0.01, 0.1), 0.05, 2, tool_most=0.08)
    contract = contract_of("x", ARM, ("part_error", "tool"), action, 0.02, Device("gripper", ("gap",), (1,)))
    assert contract.action.low == (-0.01, -0.01, -0.01, -0.1, -0.1, -0.1, 0.0)
    assert contract.action.high == (0.01, 0.01, 0.01, 0.1, 0.1, 0.1, 0.08)
    assert contract.tools == ("gap",)
    assert contract.action.posture == tuple(ARM.home)


def test_a_policy_is_asked_once_per_chunk_step_and_fields_may_be_as_old_as_is_said():
    contract = contract_of("x", ARM, ("q", "part_error"), joint_action(ARM, (0.1,) * 7, 0.05, 2), 0.02)
    older = contract_of("x", ARM, ("q", "part_error"), contract.action, 0.02, max_age_s={"part_error": 0.3})
    assert (contract.rate.policy_hz, contract.rate.trained_latency_s, contract.action.chunk_valid_s) == (
        20.0,
        0.02,
        0.1,
    )
    assert [field.max_age_s for field in older.obs] == [contract.obs[0].max_age_s, 0.3]
