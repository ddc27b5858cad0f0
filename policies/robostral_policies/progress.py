"""Progress bars on a terminal; where output is a file or a pipe, one plain line for each finished bar."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


def bars(console: Console) -> Progress:
    """Make the bars of a training; a context manager."""
    columns = TextColumn("{task.description:<52}"), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=console, disable=not console.is_terminal)


def finish(progress: Progress, bar: TaskID, text: str) -> None:
    """Let `text` stand for a finished bar."""
    progress.update(bar, description=text)
    if not progress.console.is_terminal:
        progress.console.print(text)
