"""The console script: finds commands through entry points, loads only the one that is called, speaks in one line."""

import os
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from robostral import __version__
from robostral.errors import RobostralError, UnknownName

GROUP = "robostral.commands"
Command = Callable[..., Any] | Mapping[str, Callable[..., Any]]


def main(argv: list[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 it ran and fell short, 2 refused, 130 stopped by Ctrl-C."""
    sys.exit(call(sys.argv[1:] if argv is None else argv))


def call(argv: list[str]) -> int:
    """Run a command and return its exit code; errors become one line on standard error."""
    commands = {point.name: point for point in entry_points(group=GROUP)}
    if not argv or argv[0] in {"-h", "--help", "help"}:
        _print_overview(commands)
        return 0
    if argv[0] == "--version":
        print(f"robostral {__version__}")
        return 0
    try:
        if argv[0] not in commands:
            raise UnknownName("command", argv[0], commands)
        return _run(commands[argv[0]], argv[1:])
    except RobostralError as error:
        print(f"robostral: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("robostral: stopped by Ctrl-C", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`| head`); point stdout elsewhere so that the exit stays quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(point: EntryPoint, args: list[str]) -> int:
    import tyro

    command: Command = point.load()
    prog = f"robostral {point.name}"
    if isinstance(command, Mapping):
        result = tyro.extras.subcommand_cli_from_dict(dict(command), prog=prog, args=args)
    else:
        result = tyro.cli(command, prog=prog, args=args)
    return result if isinstance(result, int) else 0


def _print_overview(commands: Mapping[str, EntryPoint]) -> None:
    print(
        "usage: robostral COMMAND [--help]\n\n"
        "Train small robot policies, ship them as signed bundles, run them behind a guard.\n"
    )
    for name in sorted(commands):
        command: Command = commands[name].load()
        summary = ", ".join(command) if isinstance(command, Mapping) else (command.__doc__ or "").strip().split("\n")[0]
        print(f"  {name:8} {summary}")
    print("\nStart here: robostral demo")
