"""Presets: YAML files under `configs/`, found by name, decoded into frozen structs that refuse unknown keys."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import msgspec

from robostral.errors import ConfigError, UnknownName

T = TypeVar("T")

_PACKAGE = Path(__file__).resolve().parent
_UNKNOWN_KEY = re.compile(r"Object contains unknown field `(?P<key>[^`]+)`(?: - at `\$(?P<path>[^`]*)`)?")


def root() -> Path:
    """Return the folder of presets: inside an installed wheel, else beside the packages in a source tree."""
    packaged = _PACKAGE / "configs"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "configs"


def names(kind: str) -> list[str]:
    """List the presets of a kind (`cells`, `train`, `run`)."""
    return sorted(path.stem for path in (root() / kind).glob("*.yaml"))


def load(kind: str, name: str, into: type[T]) -> T:
    """Read a preset by name, or any YAML file by path.

    Args:
        kind: Folder under `configs/`.
        name: Preset's name, or a path that ends in `.yaml`.
        into: Frozen `msgspec.Struct` to decode into.

    Raises:
        UnknownName: No preset has this name.
        ConfigError: The file is not there, not YAML, or holds an unknown key or a wrong value.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise ConfigError(f"no file '{path}'")
    elif name in names(kind):
        path = root() / kind / f"{name}.yaml"
    else:
        raise UnknownName(f"{kind} preset", name, names(kind))
    return decode(path.read_bytes(), into, str(path))


def decode(raw: bytes, into: type[T], label: str) -> T:
    """Decode YAML bytes; an unknown key is answered with the nearest valid one.

    Raises:
        ConfigError: Not YAML, an unknown key, or a wrong value.
    """
    try:
        return msgspec.yaml.decode(raw, type=into)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{label}: {_explain(str(error), into)}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{label}: not valid YAML: {reason}") from error


def _explain(message: str, into: object) -> str:
    found = _UNKNOWN_KEY.search(message)
    if found is None:
        return message
    keys = sorted(_all_keys(into))
    near = get_close_matches(found["key"], keys, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"unknown key '{(found['path'] or '').lstrip('.')}{'.' if found['path'] else ''}{found['key']}'{hint}"


def _all_keys(kind: object, seen: frozenset[object] = frozenset()) -> set[str]:
    """Collect the field names of a struct and of the structs inside it."""
    if kind in seen:
        return set()
    found: set[str] = set()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            found |= {field.encode_name} | _all_keys(field.type, seen | {kind})
    for inner in getattr(kind, "__args__", ()):
        found |= _all_keys(inner, seen)
    return found
