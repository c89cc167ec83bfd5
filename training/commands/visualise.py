"""Draw what a stored version has learned."""

from pathlib import Path

import click

from training import quiet
from training.commands.options import DATA, STORE, VERSION, checked_data
from training.store.labels import version_in


@click.command()
@VERSION
@STORE
@DATA
@click.option(
    "--digits", default=2000, show_default=True, type=click.IntRange(20), help="Test images that are looked at."
)
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder.  [default: runs/visualise/NAME-NUMBER]"
)
def command(version: str, store: Path, data: str, digits: int, seed: int, out: Path | None) -> None:
    """Draw what a stored VERSION, such as cnn/6, has learned: its mistakes, where digits lie, what classes
    and filters want to see, maps by class; as PNG files and one page of HTML."""
    dataset = checked_data(data)
    found = version_in(store, version)
    quiet.import_tensorflow()
    from training.visualise import visualise

    folder = out or Path("runs") / "visualise" / f"{found.parent.name}-{found.name}"
    click.echo(f"wrote {visualise(found, dataset, folder, digits, seed, click.echo)}")
