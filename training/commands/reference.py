"""Measure what is usual for a stored version."""

from pathlib import Path

import click

from training import quiet
from training.commands.options import DATA, STORE, VERSION, checked_data
from training.store.labels import version_in


@click.command()
@VERSION
@STORE
@DATA
def command(version: str, store: Path, data: str) -> None:
    """Measure what is usual for a stored VERSION, such as cnn/6, or cnn for its default: which classes it reads in
    images that it was not trained on, how surely, and where its evidence lies. Writes the next version, by whose
    reference a server tells drift."""
    dataset = checked_data(data)
    found = version_in(store, version)
    quiet.import_tensorflow()
    from training.referee import usual

    click.echo(f"wrote {usual.with_reference(found, dataset)}")
