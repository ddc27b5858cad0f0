"""Bundles: weights, contract and lineage under one signature. Read, verify, write, sign and run them."""

from robostral.bundle.manifest import Cost, Lineage, Manifest, Parity, Success
from robostral.bundle.policy import OnnxPolicy
from robostral.bundle.read import Bundle, load, verify
from robostral.bundle.store import find, names, stores
from robostral.bundle.write import check_folder, sign, write

__all__ = [
    "Bundle",
    "Cost",
    "Lineage",
    "Manifest",
    "OnnxPolicy",
    "Parity",
    "Success",
    "check_folder",
    "find",
    "load",
    "names",
    "sign",
    "stores",
    "verify",
    "write",
]
