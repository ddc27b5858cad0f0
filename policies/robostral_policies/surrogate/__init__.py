"""Learned simulators: what a gripper and a part do in a policy step, from episodes of an engine."""
