"""Pull versions from a store elsewhere."""

from pathlib import Path

import click

from training.commands.options import REMOTE
from training.errors import DataError


@click.command()
@click.argument("version", required=False)
@REMOTE
@click.option("--into", "folder", default="model_store", show_default=True, type=click.Path(path_type=Path))
@click.option(
    "--trust",
    envvar="INKLING_TRUST",
    show_envvar=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of public keys: take only what one of them has signed.",
)
def command(version: str | None, store: str, folder: Path, trust: Path | None) -> None:
    """Take a VERSION (such as cnn/3), all versions of a model (cnn) or, without it, all there is, with the labels, from
    the store at an address."""
    from training.store import remote

    model, _, number = (version or "").partition("/")
    if number and not number.isdecimal():
        raise DataError(f"got {version}; expected MODEL/NUMBER or MODEL")
    keys = None if trust is None else remote.trusted(trust)
    there = remote.connect(store, writes=False)
    taken, refused = remote.pull(there, folder, model or None, number or None, keys)
    for line in taken:
        click.echo(f"{folder}/{line}")
    if refused:
        raise DataError("\n".join(refused))
    if not taken:
        click.echo("nothing that is not here already")
