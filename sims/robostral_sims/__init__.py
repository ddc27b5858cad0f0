"""Simulated cells: scenes, engines, tasks and environments."""
