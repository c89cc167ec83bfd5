"""Tables of trials: of the store's versions, of other packages, of causes held out, and of errors as told."""

from typing import Any

import click

from training import quiet
from training.commands.options import DATA, STORE, checked_data, names


@click.command()
@DATA
@STORE
@click.option("--models", callback=names, help="Such as mlp,cnn.  [default: all in the store]")
@click.option("--methods", callback=names, help="Packages instead of ours: lime,shap,captum,xplique.")
@click.option("--again", is_flag=True, help="Hold the trial anew; takes some minutes, and no version is written.")
@click.option("--pictures", type=click.IntRange(2), help="Of each planted cause, in a new trial.  [default: 60]")
@click.option("--digits", type=click.IntRange(2), help="That the yardstick takes, in a new trial.  [default: 500]")
@click.option(
    "--errors",
    is_flag=True,
    help="Instead: are explanations as far off as they say? With --methods, of these of ours.",
)
@click.option("--held-out", is_flag=True, help="Instead: is what a trial says to believe right about other causes?")
@click.option("--write", is_flag=True, help="Put the tables into benchmarks/RESULTS.md, too.")
def command(write: bool, **wanted: Any) -> None:
    """Print which explanation methods name causes that are known, for each model of the store: by the trial of its
    default version, or else of the newest one that has a trial (see certify), or by a new trial."""
    quiet.import_tensorflow()
    from training.referee import report

    chosen = report.Wanted(**wanted, load=checked_data)
    click.echo(report.report(chosen, report.RESULTS if write else None))
