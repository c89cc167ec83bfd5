"""Write the next version of one that has no LiteRT files."""

from pathlib import Path

import click

from training import quiet
from training.commands.options import VERSION, checked_data


@click.command()
@VERSION
@click.option(
    "--data", help="Compare on the validation images of mnist, digits or FILE.npz.  [default: mixed centroids]"
)
def command(version: Path, data: str | None) -> None:
    """Write the next version from a stored VERSION, such as model_store/cnn/5, with LiteRT files, without training."""
    images = None if data is None else checked_data(data).validation_images
    quiet.import_tensorflow()
    from training.store.next_version import convert

    click.echo(f"wrote {convert(version, images)}")
