"""The direction of imports is a law: robostral <- sims, policies, drivers; the three meet through registries only."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {
    "robostral": ROOT / "robostral",
    "robostral_sims": ROOT / "sims/robostral_sims",
    "robostral_policies": ROOT / "policies/robostral_policies",
    "robostral_drivers": ROOT / "drivers/robostral_drivers",
}
HEAVY_IN_CORE = {"torch", "pybullet", "gymnasium", "mujoco", "onnx", "onnxscript", "stable_baselines3", "rtde_control"}


def imports(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.split(".")[0] for name in plain | {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}}


@pytest.mark.parametrize("package", SOURCES)
def test_a_package_imports_the_core_and_no_sibling(package: str) -> None:
    forbidden = (
        set(SOURCES) - {package, "robostral"} if package != "robostral" else (set(SOURCES) - {package}) | HEAVY_IN_CORE
    )
    files = list(SOURCES[package].rglob("*.py"))
    assert files
    found = {f"{path.relative_to(ROOT)}: {name}" for path in files for name in imports(path) & forbidden}
    assert not found


def test_importing_the_core_loads_nothing_heavy() -> None:
    code = "import sys, robostral; print([m for m in ('torch', 'pybullet', 'onnxruntime') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_the_overview_of_commands_loads_nothing_heavy() -> None:
    code = (
        "import sys; from robostral.cli import call; assert call(['--help']) == 0; "
        "print([m for m in ('torch', 'pybullet', 'mujoco', 'onnxruntime', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip().endswith("[]")
