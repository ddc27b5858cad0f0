"""What the console script does: finds commands in entry points, loads only the one called, speaks in one line."""

import contextlib
import functools
import io
import os
import re
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from robostral import __version__
from robostral.errors import ConfigError, RobostralError, UnknownName

GROUP = "robostral.commands"
Command = Callable[..., Any] | Mapping[str, Callable[..., Any]]


def dispatch(argv: list[str]) -> int:
    """Run a command and return its exit code; errors become one line on standard error."""
    try:
        code = _dispatch(argv)
        sys.stdout.flush()  # here, where a reader that went away is still answered quietly
        return code
    except RobostralError as error:
        print(f"robostral: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output went away (`| head`); point stdout elsewhere so that the exit stays quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(argv: list[str]) -> int:
    commands = {point.name: point for point in entry_points(group=GROUP)}
    if not argv or argv[0] in {"-h", "--help", "help"}:
        _print_overview(commands)
        return 0
    if argv[0] == "--version":
        print(f"robostral {__version__}")
        return 0
    if argv[0] not in commands:
        raise UnknownName("command", argv[0], commands)
    result = _parse(argv[0], _load(commands[argv[0]]), argv[1:])()
    return result if isinstance(result, int) else 0


def _load(point: EntryPoint) -> Command:
    try:
        command: Command = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"command '{point.name}' cannot be loaded: {error}; pip install \"robostral[all]\""
        ) from error
    return command


def _parse(name: str, command: Command, args: list[str]) -> Callable[[], Any]:
    """Turn words into a call that is ready to be made, so that only the parser's own messages are reformed."""
    import tyro

    prog = f"robostral {name}"
    if isinstance(command, Mapping) and args and args[0] not in command and not args[0].startswith("-"):
        raise UnknownName(f"{name} command", args[0], command)
    conf = tyro.conf
    markers = (conf.PositionalRequiredArgs, conf.PositionalMetavarFromFieldName, conf.FlagCreatePairsOff)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            if isinstance(command, Mapping):
                bound = {word: _deferred(function) for word, function in command.items()}
                call = tyro.extras.subcommand_cli_from_dict(bound, prog=prog, args=args, config=markers)
            else:
                call = tyro.cli(_deferred(command), prog=prog, args=args, config=markers)
    except SystemExit as stop:
        if stop.code in {0, None}:
            return lambda: 0
        raise ConfigError(_one_line(printed.getvalue())) from stop
    return call  # type: ignore[no-any-return]


def _deferred(function: Callable[..., Any]) -> Callable[..., Callable[[], Any]]:
    @functools.wraps(function)
    def bind(*args: Any, **kwargs: Any) -> Callable[[], Any]:
        return functools.partial(function, *args, **kwargs)

    return bind


def _one_line(box: str) -> str:
    """Flatten the parser's framed message, without its title, its descriptions of options and its rules."""
    # The first line is the title; frames are "│─╰" on a terminal that can, spaces and "-" elsewhere.
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip("│") for line in box.strip().splitlines()[1:]]
    told = [line.strip() for line in lines if line.strip("─-╰╯ ") and not line.startswith(" " * 9)]
    text = " ".join(told)
    return re.sub(r"\.? For full helptext, run:? (.*)", r"; see '\1'", text)


def _print_overview(commands: Mapping[str, EntryPoint]) -> None:
    print(
        "usage: robostral COMMAND [--help]\n\n"
        "Train small robot policies, ship them as signed bundles, run them behind a guard.\n"
    )
    width = max(map(len, commands))
    for name in sorted(commands):
        try:
            print(f"  {name:{width}} {_summary(_load(commands[name]))}")
        except ConfigError as error:
            print(f"  {name:{width}} not available here: {error.__cause__}")
    print("\nStart here: robostral demo")


def _summary(command: Command) -> str:
    if isinstance(command, Mapping):
        return " | ".join(command)
    return (command.__doc__ or "").strip().split("\n")[0]
