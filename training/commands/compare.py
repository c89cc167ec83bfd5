"""Put stored versions beside each other: what they cost and what they are worth."""

from pathlib import Path

import click

from training import quiet
from training.commands.options import DATA, STORE, checked_data


@click.command()
@click.argument("versions", nargs=-1, required=True)
@DATA
@STORE
def command(versions: tuple[str, ...], data: str, store: Path) -> None:
    """Write a table of VERSIONS, such as cnn/6 cnn/edge: bytes, accuracy, calibration, time, and how far their maps
    are from those of the first one."""
    dataset = checked_data(data)
    quiet.import_tensorflow()
    from training.compress.costs import costs, table
    from training.incremental import parent_in

    found = [parent_in(store, name) for name in versions]
    with quiet.muted():
        rows = [costs(version, dataset, found[0]) for version in found]
    click.echo(table(rows))
