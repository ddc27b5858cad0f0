"""Robostral: one contract, one control law, one guard, in simulation and on the robot."""

__version__: str

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    # Looked up when asked for: the search through installed packages takes longer than everything else here.
    if name != "__version__":
        raise AttributeError(f"module 'robostral' has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("robostral")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"
