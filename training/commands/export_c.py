"""Write a version as C source."""

from pathlib import Path

import click

from training import quiet
from training.commands.options import STORE


@click.command("export-c")
@click.argument("version")
@STORE
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), help="Where to.  [default: runs/c/MODEL-NUMBER]"
)
def command(version: str, store: Path, folder: Path | None) -> None:
    """Write the file that predicts of VERSION, such as cnn/edge, as a C array, and a small C program that reads a digit
    by it and TensorFlow Lite's C library."""
    quiet.import_tensorflow()
    from training.incremental import parent_in
    from training.litert.c_source import write_c

    found = parent_in(store, version)
    place = folder or Path("runs") / "c" / f"{found.parent.name}-{found.name}"
    for path in write_c(found, place):
        click.echo(f"wrote {path}")
    click.echo(f"how to build it stands at the top of {place / 'read_digit.c'}; it was written, and not run:")
    click.echo("that needs TensorFlow Lite's C library")
