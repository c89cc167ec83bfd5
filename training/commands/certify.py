"""Put a stored version on trial."""

from pathlib import Path

import click

from training import quiet
from training.commands.options import DATA, VERSION, checked_data


@click.command()
@VERSION
@DATA
@click.option("--pictures", default=60, show_default=True, type=click.IntRange(2), help="Of each planted cause.")
@click.option("--digits", default=500, show_default=True, type=click.IntRange(2), help="That the yardstick takes.")
def command(version: Path, data: str, pictures: int, digits: int) -> None:
    """Put a stored VERSION, such as model_store/cnn/5 (or model_store/cnn for its default), on trial: which explanation
    methods name a cause that is known? Writes the next version, with the result; takes some minutes."""
    dataset = checked_data(data)
    quiet.import_tensorflow()
    from training.referee import certify as certification
    from training.referee.table import versions_of

    chosen = version if version.name.isdecimal() else next(iter(versions_of(version)), version)
    images = dataset.train_images, dataset.test_images
    click.echo(f"wrote {certification.certify(chosen, *images, pictures=pictures, digits=digits)}")
