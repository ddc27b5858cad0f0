"""`robostral sim`: what cells there are, what they hold, and how an episode of one goes."""

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from robostral_sims import check_commands

if TYPE_CHECKING:
    from robostral_sims.env import CellEnv

Name = Annotated[str, tyro.conf.Positional]
File = Annotated[Path, tyro.conf.Positional]


def list_cells() -> None:
    """List the environments with the size of their contracts, then engines and arms."""
    from robostral.arm import arm_names, load_arm
    from robostral_sims.catalogue import catalogue
    from robostral_sims.engines import engine_names
    from robostral_sims.scene import load_scene
    from robostral_sims.tasks import load_task

    print(f"{'environment':28} {'cell':26} {'obs':>4} {'action':>7} {'policy':>6} {'limit':>6}")
    for entry in catalogue():
        task = load_task(entry.task)(load_arm(entry.arm), load_scene(entry.cell))
        c, (horizon, n) = task.contract, task.contract.chunk_shape
        sizes = f"{c.obs_size:4} {f'{horizon} x {n}':>7} {c.rate.policy_hz:3g} Hz {task.time_limit_s:4g} s"
        print(f"{entry.env_id:28} {entry.cell:26} {sizes}")
    print(f"\nengines: {', '.join(engine_names())}\narms:    {', '.join(arm_names())}")


def show(env: Name, png: Path | None = None, engine: str = "pybullet") -> None:
    """Print what a policy sees and does in an environment and what is in its cell.

    Args:
        env: Task, environment id or cell, for example Reach or ur5e-reach.
        png: Also draw the cell, with the scripted expert at work, into this file.
        engine: Name of the engine that draws.
    """
    from robostral_sims.looking import picture_of, save_picture

    cell = _make(env, engine, drawn=png is not None)
    try:
        print((inspect.getdoc(type(cell.task)) or "").split("\n\nArgs:")[0])
        print(f"\n{cell.sealed}\nlimit   {cell.task.time_limit_s:g} s an episode\n")
        for mount in cell.scene.arms:
            print(f"arm     {mount.device}: {mount.model}, tool {type(mount.tool).__name__ if mount.tool else 'none'}")
        for body in cell.scene.bodies:
            kind = f"part, {body.mass:g} kg" if body.mass else "fixture"
            print(f"body    {body.name}: {type(body.shape).__name__.lower()}, {kind}")
        for belt in cell.scene.conveyors:
            print(f"belt    {belt.name}: {' x '.join(f'{edge:g}' for edge in belt.size)} m")
        for name, region in cell.scene.regions.items():
            print(f"region  {name}: {region.low} to {region.high} m")
        if png is not None:
            save_picture(picture_of(cell), png)
            print(f"picture {png}")
    finally:
        cell.close()


def play(
    env: Name,
    policy: str = "expert",
    *,
    engine: str = "pybullet",
    episodes: int = 1,
    seed: int = 0,
    gif: Path | None = None,
    save_failures: Path | None = None,
    plant: dict[str, float] | None = None,
) -> int:
    """Let somebody do the task, and say of every episode how it ended. Exits 1 if one of them failed.

    Args:
        env: Task, environment id or cell, for example Reach or ur5e-reach.
        policy: expert, random, nothing, or the name or path of a bundle.
        engine: Name of the engine.
        episodes: How many; each has a seed of its own, the first one `seed`.
        seed: Everything random follows from it.
        gif: File for an animation of all episodes.
        save_failures: Folder for the episodes that failed; `robostral sim replay` plays them again.
        plant: Figures that every episode has in place of drawn ones, for example --plant clearance 0.0005.
    """
    from robostral.bundle import Success
    from robostral.errors import ConfigError
    from robostral_sims.episodes import pilot_of
    from robostral_sims.episodes import play as play_one
    from robostral_sims.looking import Film

    if episodes < 1:
        raise ConfigError(f"--episodes {episodes}: at least one")
    cell = _make(env, engine, drawn=gif is not None)
    film, successes = Film() if gif else None, 0
    options = {"plant": plant} if plant else None
    try:
        act = pilot_of(cell, policy, seed)
        for index in range(seed, seed + episodes):
            played = play_one(cell, act, index, film, options)
            successes += played.episode.success
            print(played, flush=True)
            if save_failures and not played.episode.success:
                file = played.episode.save(save_failures / f"{cell.contract.task}-{engine}-{index}.json")
                print(f"     robostral sim replay {file}")
        if film and gif:
            film.save(gif)
    finally:
        cell.close()
    done = Success.of(successes, episodes)
    print(f"{policy}: {successes} of {episodes} [{100 * done.low:.1f}, {100 * done.high:.1f}] %")
    return 0 if successes == episodes else 1


def replay(file: File, gif: Path | None = None) -> int:
    """Play a recorded episode again and say how it ended. Exits 1 if any bit of what was seen then differs now.

    Args:
        file: A record that `robostral sim play --save-failures` or a training has written.
        gif: File for an animation.
    """
    from robostral.episode import Episode
    from robostral_sims.episodes import replay as replay_one
    from robostral_sims.looking import Film

    kept = Episode.load(file)
    film = Film() if gif else None
    again, same = replay_one(kept, film)
    print(kept.env, ", ".join(f"{name} {value}" for name, value in kept.kwargs.items() if value is not None))
    print(again)
    print("plant: " + ", ".join(f"{name} {value:.4g}" for name, value in again.info["plant"].items()))
    exact = "to the bit" if kept.digest else "by its end; no digest was taken"
    print(f"the same, {exact}" if same else f"not the same: it ended with '{kept.reason}'")
    if film and gif:
        film.save(gif)
    return 0 if same else 1


def pictures(folder: File = Path("sims/pictures")) -> None:
    """Draw every task's own cell, the scripted expert at work, into a folder.

    Args:
        folder: Where one PNG file per task goes.
    """
    from robostral_sims import TASKS
    from robostral_sims.catalogue import find
    from robostral_sims.looking import picture_of, save_picture

    for name in TASKS:
        cell = _make(name, "pybullet", drawn=True)
        file = folder / f"{find(name).cell}.png"
        save_picture(picture_of(cell), file)
        cell.close()
        print(file)


def scores(episodes: int = 20, *, baselines: int = 20, cells: tuple[str, ...] = (), readme: Path | None = None) -> None:
    """Let expert, random actions and no action play every task on every engine; print a table.

    Args:
        episodes: Episodes of the expert; 500 for a table to publish.
        baselines: Episodes of random actions and of no action.
        cells: Tasks or cells; every task in its own cell if none is named.
        readme: File whose table is replaced, for example sims/README.md.
    """
    from rich.progress import Progress

    from robostral_sims import TASKS
    from robostral_sims.catalogue import find
    from robostral_sims.engines import engine_names
    from robostral_sims.episodes import PILOTS
    from robostral_sims.scores import markdown, score, write_table

    entries, found = [find(cell) for cell in cells or TASKS], []
    counts = {pilot: episodes if pilot == "expert" else baselines for pilot in PILOTS}
    with Progress(transient=True) as progress:
        bar = progress.add_task("episodes", total=len(entries) * len(engine_names()) * sum(counts.values()))
        for entry in entries:
            for engine in engine_names():
                for pilot, count in counts.items():
                    progress.update(bar, description=f"{entry.cell}, {engine}, {pilot}")
                    found.append(score(entry, engine, pilot, count, told=lambda: progress.advance(bar)))
    table = markdown(entries, found)
    print(table)
    if readme is not None:
        write_table(readme, table)


def _make(name: str, engine: str, *, drawn: bool) -> "CellEnv":
    from robostral_sims.catalogue import find
    from robostral_sims.env import CellEnv

    entry = find(name)
    mode = "rgb_array" if drawn else None
    return CellEnv(entry.task, entry.arm, engine, cell=entry.cell, render_mode=mode)


COMMANDS = {
    "list": list_cells,
    "show": show,
    "play": play,
    "replay": replay,
    "pictures": pictures,
    "scores": scores,
} | check_commands.COMMANDS
