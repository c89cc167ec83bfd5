"""Search for the options of a net, in a study that can be left and gone on with."""

import shlex
from pathlib import Path
from typing import Any

import click

from training import quiet
from training.commands import training_run
from training.commands.options import DATA, SIZES, STORE, checked_data
from training.errors import DataError

GOALS = ("accuracy", "not-a-digit", "microseconds", "bytes")


def goals_of(_: click.Context, option: click.Parameter, value: str) -> tuple[str, ...]:
    """A list such as accuracy,bytes."""
    goals = tuple(part.strip() for part in value.split(","))
    if not set(goals) <= set(GOALS) or len(set(goals)) < len(goals):
        raise click.BadParameter(f"got {value!r}; expected some of {','.join(GOALS)}, each once", param=option)
    return goals


@click.command()
@click.argument("architecture", type=click.Choice(sorted(SIZES)))
@DATA
@STORE
@click.option("--trials", default=40, show_default=True, type=click.IntRange(0), help="Finished ones in the study.")
@click.option("--epochs", default=3, show_default=True, type=click.IntRange(1), help="Of a trial.")
@click.option(
    "--goals",
    default="accuracy",
    show_default=True,
    callback=goals_of,
    help=f"Some of {','.join(GOALS)}; with several, none is better than the front in all.",
)
@click.option(
    "--study",
    type=click.Path(dir_okay=False, path_type=Path),
    help="SQLite file that several processes may share.  [default: runs/tune/ARCHITECTURE.db]",
)
@click.option("--seed", default=0, show_default=True)
@click.option("--mixed/--no-mixed", default=True, show_default=True, help="Train on drawn digits too, as fit does.")
@click.option("--export", help="Train with what trial NUMBER chose, or BEST, by fit, and export the next version.")
@click.option("--export-epochs", default=30, show_default=True, type=click.IntRange(1), help="With --export.")
def command(
    architecture: str,
    data: str,
    store: Path,
    trials: int,
    epochs: int,
    goals: tuple[str, ...],
    study: Path | None,
    seed: int,
    mixed: bool,
    export: str | None,
    export_epochs: int,
) -> None:
    """Search for the options of an ARCHITECTURE: learning rate, batch, width, depth, dropout, augmentation. The study
    has as many trials as are asked for when all who work on it are done; run the same command again to go on. Plots of
    what mattered lie beside its file. Needs the package optuna."""
    number = _number(export)
    dataset = checked_data(data, seed)
    quiet.import_tensorflow()
    try:
        from training.tuning import plots
        from training.tuning import study as studies
    except ImportError as error:
        raise DataError(f'this needs Optuna ({error}): pip install "optuna<6"') from error

    file = study or Path("runs") / "tune" / f"{architecture}.db"
    shared = {"data": Path(dataset.name).name, "epochs": epochs, "mixed": mixed, "seed": seed}
    found = studies.opened(file, architecture, goals, seed, shared)
    mix = training_run.drawn(dataset, {"mixed": mixed, "seed": seed}, None) if trials else None
    setting = studies.Setting(architecture, goals, epochs, seed, dataset, mix, 0.5 if mixed else 0.0)
    try:
        studies.search(found, setting, trials, click.echo)
    except KeyboardInterrupt:
        raise click.ClickException(f"stopped; the study is in {file}, go on with the same command") from None
    for trial in studies.best(found):
        click.echo(f"best: {studies.line(trial, goals)}  {trial.params}")
    for figure in plots.draw(found, goals):
        place = file.with_name(f"{file.stem}-{figure.name}.png")
        place.write_bytes(figure.png)
        click.echo(f"wrote {place}")
    if export:
        given = ["--data", data, "--store", str(store), "--seed", str(seed), "--epochs", str(export_epochs)]
        given += [] if mixed else ["--mixed", "0", "--outliers", "0"]
        _export(architecture, studies.numbered(found, number), given)


def _number(export: str | None) -> int | None:
    """Of the trial to export; None for the best."""
    if export is None or export.upper() == "BEST":
        return None
    if not export.isdecimal():
        raise click.UsageError(f"got --export {export}; expected BEST or the number of a trial")
    return int(export)


def _export(architecture: str, trial: Any, shared: list[str]) -> None:
    """Train by fit, as anybody could who reads what is said."""
    from training.commands import fit
    from training.tuning import space

    sizes, how = space.of_trial(trial, architecture)
    given = [architecture, *space.arguments(sizes), *space.arguments(how), *shared]
    click.echo(f"python -m training fit {shlex.join(given)}")
    fit.command.main(given, standalone_mode=False)
