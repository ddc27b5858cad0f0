"""`robostral run PRESET`."""

from pathlib import Path
from typing import Annotated

import tyro

Runs = Annotated[Path, tyro.conf.arg(metavar="FOLDER")]


def run(preset: str, /, *, runs: Runs | None = None) -> None:
    """Run a cell until Ctrl-C: loop, transport and recorder, with a live status line.

    It starts locked: `robostral ctl rearm` arms it, `home` and `goal` move it, from another terminal. Ctrl-C brakes
    first and leaves then.

    Args:
        preset: Name under configs/run, or a YAML file.
        runs: Folder that the run folder is made in; the preset's own if left out.
    """
    import time

    import msgspec
    from rich.console import Console
    from rich.live import Live

    from robostral import config as presets
    from robostral.runtime.config import RunConfig
    from robostral.runtime.launch import Runtime

    console = Console()
    config = presets.load("run", preset, RunConfig)
    if runs is not None:
        config = msgspec.structs.replace(config, runs=str(runs))
    with Runtime(config) as runtime:
        console.print(f"ready {runtime.folder}", soft_wrap=True)
        if runtime.notes:
            console.print(f"the loop runs with {runtime.notes}", soft_wrap=True)
        with Live(console=console, auto_refresh=False) as live:
            while True:
                runtime.check()
                live.update(runtime.status().line(), refresh=True)
                time.sleep(0.1)
