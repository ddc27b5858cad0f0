"""Typed errors. Each names the fact, the bound and the choice; the command line prints it in one line and exits 2."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class RobostralError(Exception):
    """Root of every error that a user can cause or mend."""

    exit_code = 2


class UnknownName(RobostralError):
    """A name that no registry holds.

    Args:
        kind: What was looked for, for example ``arm`` or ``bundle``.
        name: What was asked for.
        choices: The valid names.
    """

    def __init__(self, kind: str, name: str, choices: Iterable[str]) -> None:
        self.kind, self.name, self.choices = kind, name, sorted(choices)
        near = get_close_matches(name, self.choices, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        listed = ", ".join(self.choices) or "none is installed"
        super().__init__(f"unknown {kind} '{name}'{hint} ({kind}s: {listed})")


class ConfigError(RobostralError):
    """A configuration file or value that cannot be used as it stands."""


class MissingExtra(RobostralError):
    """An optional dependency is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        self.module, self.extra = module, extra
        super().__init__(f"needs the module '{module}': pip install \"robostral[{extra}]\"")


class ContractMismatch(RobostralError):
    """Two sides hold different contracts.

    Args:
        ours: Name of this side.
        theirs: Name of the other side.
        fields: One line for each field that differs.
    """

    def __init__(self, ours: str, theirs: str, fields: Sequence[str]) -> None:
        self.fields = tuple(fields)
        super().__init__(f"contract of {ours} differs from {theirs} in: " + "; ".join(fields))


class RequirementsNotMet(RobostralError):
    """A plant is outside the ranges that a policy was trained for.

    Args:
        figures: One line for each figure that is outside.
    """

    def __init__(self, figures: Sequence[str]) -> None:
        self.figures = tuple(figures)
        super().__init__("the policy was not trained for this plant: " + "; ".join(figures))


class BundleRefused(RobostralError):
    """A bundle that may not be loaded: wrong hash, signature, operator, format or version."""


class DriverError(RobostralError):
    """A driver cannot reach its plant, or the plant refused."""


class ServingError(RobostralError):
    """The policy server cannot be reached, or it refused us."""
