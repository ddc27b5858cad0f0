"""Which code this is: what every evidence file and every lineage says."""

import subprocess
from pathlib import Path

import robostral


def revision() -> str:
    """Return the commit that this code is from, `+changes` if files differ from it; the release outside a checkout."""
    folder = Path(__file__).parent
    try:
        head = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ":/*.py", ":/*.yaml")
    except (OSError, subprocess.CalledProcessError):
        return f"release {robostral.__version__}"
    return f"{head}+changes" if changed else head


def _git(folder: Path, *args: str) -> str:
    return subprocess.run(["git", *args], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
