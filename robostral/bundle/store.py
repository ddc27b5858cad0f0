"""Where bundles are found by name: folders that installed packages register as `robostral.bundles`."""

from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

from robostral.bundle.manifest import MANIFEST
from robostral.errors import BundleRefused, UnknownName

GROUP = "robostral.bundles"


def stores() -> list[Path]:
    """List the registered folders of bundles; a package that cannot be imported here has none."""
    roots: list[Path] = []
    for point in entry_points(group=GROUP):
        try:
            roots.append(cast(Path, point.load()))
        except (ImportError, AttributeError):
            continue
    return [root for root in roots if root.is_dir()]


def names() -> list[str]:
    """List the bundles of all stores by name."""
    return sorted({path.parent.name for root in stores() for path in root.glob(f"*/{MANIFEST}")})


def find(source: str | Path) -> Path:
    """Resolve a bundle's path or registered name to its path.

    Raises:
        UnknownName: No store holds a bundle of this name.
        BundleRefused: It is written as a path, and nothing is there.
    """
    path = Path(source)
    if path.exists():
        return path
    if isinstance(source, Path) or "/" in source or source.endswith(".zip"):
        raise BundleRefused(f"no bundle at '{source}'")
    for root in stores():
        if (root / path / MANIFEST).is_file():
            return root / path
    raise UnknownName("bundle", source, names())
