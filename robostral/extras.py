"""Optional dependencies, imported where they are used, with an answer to 'how do I install it?'."""

from importlib import import_module
from types import ModuleType

from robostral.errors import MissingExtra


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, or say which extra of this package brings it.

    Raises:
        MissingExtra: The module is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingExtra(module, extra) from error
