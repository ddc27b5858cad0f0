"""Print a bundle for people."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from robostral.arm.limits import ROW_NAMES
from robostral.bundle.manifest import Manifest
from robostral.bundle.read import load
from robostral.contract import Requirements


def show(source: str, trusted_keys: Path | None = None) -> None:
    """Print manifest, requirements and contract of a verified bundle.

    Raises:
        UnknownName: No store holds a bundle of this name.
        BundleRefused: Says which check failed.
        ConfigError: The folder of trusted keys cannot be used.
    """
    bundle = load(source, trusted_keys=trusted_keys)
    signer = str(bundle.signer) if bundle.signer else "nobody: twins only"
    rows = {"bundle": bundle.manifest.label, "digest": bundle.digest.hex(), "signed by": signer}
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in (rows | _manifest_rows(bundle.manifest) | _requirement_rows(bundle.requirements)).items():
        # Text, not str: a manifest must not be able to write markup.
        table.add_row(Text(name, style="bold"), Text(value, overflow="fold"))
    console = Console(highlight=False)
    console.print(table)
    console.print(Text(f"\n{bundle.sealed}"), soft_wrap=True)


def _manifest_rows(manifest: Manifest) -> dict[str, str]:
    lineage, cost = manifest.lineage, manifest.cost
    trained = f"{lineage.environment} on {lineage.engine}, seed {lineage.seed}, revision {lineage.git_revision}"
    rows = {
        "licence": manifest.licence,
        "model": f"{manifest.files.model.size} bytes, {cost.parameters} parameters, operator set {manifest.opset}",
        "trained in": trained,
        "with": ", ".join(f"{name} {version}" for name, version in lineage.packages.items()),
        "training": f"{cost.training_s:.0f} s on {cost.machine}",
        "cost": f"{cost.us_per_action:g} µs per action",
        "parity": f"{manifest.parity.max_abs_error:.2g} over {manifest.parity.n} observations",
    }
    for engine, success in manifest.metrics.items():
        interval = f"95 % interval [{success.low:.2%}, {success.high:.2%}]"
        rows[f"success in {engine}"] = f"{success.rate:.2%} of {success.n} episodes, {interval}"
    return rows


def _requirement_rows(needs: Requirements) -> dict[str, str]:
    low, high = needs.control_hz
    mm, mrad = needs.kinematics_tolerance_mm, needs.kinematics_tolerance_mrad
    rows = {
        "needs arm": f"{needs.arm} within {mm:g} mm, {mrad:g} mrad",
        "needs control": f"{low:g} to {high:g} Hz by {' or '.join(needs.command_modes)}",
        "needs latency": f"at most {needs.max_latency_s * 1e3:g} ms; rows per request: at most {needs.max_batch}",
    }
    for name, row in zip(ROW_NAMES, needs.limits, strict=False):
        rows[f"needs {name} inside"] = ", ".join("none" if figure is None else f"{figure:g}" for figure in row)
    return rows
