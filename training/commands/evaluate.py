"""Measure a stored version."""

from pathlib import Path

import click

from training import quiet
from training.commands.options import DATA, STORE, VERSION, checked_data
from training.store.labels import version_in


@click.command()
@VERSION
@STORE
@DATA
@click.option("--corruptions", is_flag=True, help="Also after each of fifteen corruptions.")
@click.option("--attacks", is_flag=True, help="Also under attacks (PGD) of three sizes.")
def command(version: str, store: Path, data: str, corruptions: bool, attacks: bool) -> None:
    """Measure a stored VERSION, such as cnn/6, on the test images and compare with its card."""
    dataset = checked_data(data)
    found = version_in(store, version)
    quiet.import_tensorflow()
    from training import evaluate as measuring

    measured, carded = measuring.evaluate_stored(found, dataset)
    click.echo(f"{'':24}{'measured':>12}{'card':>12}")
    for key, value in measured.items():
        click.echo(f"{key:24}{value:>12}{carded.get(key, '-'):>12}")
    beside = measuring.of_corruptions(measuring.logits_by(found), dataset) if corruptions else {}
    beside |= measuring.of_attacks(found, dataset) if attacks else {}
    for key, value in beside.items():
        click.echo(f"{key:24}{value:>12}")
