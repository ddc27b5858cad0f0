"""The console script. It imports nothing before it can answer Ctrl-C in one line."""

import sys


def main(argv: list[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 it ran and fell short, 2 refused, 130 stopped by Ctrl-C."""
    sys.exit(call(sys.argv[1:] if argv is None else argv))


def call(argv: list[str]) -> int:
    """Run a command and return its exit code; errors become one line on standard error."""
    try:
        import signal

        # A script's shell starts background jobs with SIGINT ignored; whoever sends it to us means it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from robostral.dispatch import dispatch

        return dispatch(argv)
    except KeyboardInterrupt:
        print("robostral: stopped by Ctrl-C", file=sys.stderr)
        return 130
