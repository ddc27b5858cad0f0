"""Policies: imitation of scripted experts, export to ONNX, closed-loop evaluation, and the open weights."""
