"""`robostral run PRESET`, and `robostral bench loop`."""

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


def bench_loop(
    *, seconds: float = 40.0, slice_s: float = 2.5, core: int | None = None, json: Path | None = None
) -> int:
    """Time the loop's wake-ups in turn with cyclictest's, same core, priority and period; alone and disturbed.

    Half of the time goes to the loop, half to cyclictest (Debian's rt-tests; where it is absent, that is said); 500 Hz
    and 1 kHz share it. Then the same with a busy Python thread in the places of transport and recorder and with a
    disk that never rests. Exits 1 where a bar is missed. 600 seconds in slices of 10 are a fair measurement.

    Args:
        seconds: For each of the two: alone, disturbed.
        slice_s: Length of a slice [s]; medians are taken over slices.
        core: Processor to measure on; the last one if left out.
        json: File to write the report to; printed if there is none.
    """
    import sys

    from robostral.bench import write
    from robostral.runtime import bench

    figures = bench.run(seconds, slice_s, core)
    write("loop", figures, json)
    for line in figures["short"]:
        print(f"fell short: {line}", file=sys.stderr)
    return 1 if figures["short"] else 0
