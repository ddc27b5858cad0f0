"""Robostral: one contract, one control law, one guard, in simulation and on the robot."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("robostral")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
