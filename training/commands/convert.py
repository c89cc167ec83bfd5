"""Write the next version of one that has no LiteRT files."""

from pathlib import Path

import click

from training import quiet
from training.commands.options import STORE, VERSION, checked_data
from training.store.labels import version_in


@click.command()
@VERSION
@STORE
@click.option(
    "--data", help="Compare on the validation images of mnist, digits or FILE.npz.  [default: mixed centroids]"
)
def command(version: str, store: Path, data: str | None) -> None:
    """Write the next version from a stored VERSION, such as cnn/6, with LiteRT files, without training."""
    images = None if data is None else checked_data(data).validation_images
    found = version_in(store, version)
    quiet.import_tensorflow()
    from training.store.next_version import convert

    click.echo(f"wrote {convert(found, images)}")
