"""Put a stored version on trial."""

from pathlib import Path

import click

from training import quiet
from training.commands.options import DATA, STORE, VERSION, checked_data
from training.store.labels import version_in


@click.command()
@VERSION
@STORE
@DATA
@click.option("--pictures", default=60, show_default=True, type=click.IntRange(2), help="Of each planted cause.")
@click.option("--digits", default=500, show_default=True, type=click.IntRange(2), help="That the yardstick takes.")
def command(version: str, store: Path, data: str, pictures: int, digits: int) -> None:
    """Put a stored VERSION, such as cnn/6, or cnn for its default, on trial: which explanation methods name a cause
    that is known? Writes the next version, with the result; takes some minutes."""
    dataset = checked_data(data)
    found = version_in(store, version)
    quiet.import_tensorflow()
    from training.referee import certify as certification

    images = dataset.train_images, dataset.test_images
    click.echo(f"wrote {certification.certify(found, *images, pictures=pictures, digits=digits)}")
