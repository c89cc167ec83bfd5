"""Sign a version."""

from pathlib import Path

import click

from training.commands.options import STORE


@click.command()
@click.argument("version", required=False)
@click.option("--key", type=click.Path(dir_okay=False, path_type=Path), help="File of the private key (PEM, Ed25519).")
@click.option(
    "--new-key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Make a new private key in this file, and the public one beside it, in FILE.pub.",
)
@STORE
def command(version: str | None, key: Path | None, new_key: Path | None, store: Path) -> None:
    """Sign the VERSION (such as cnn/3) of a store, after checking all its files. A server with INKLING_TRUST=FILE.pub
    serves only what is signed so."""
    from training.store import labels, signing

    if (version is None or key is None) == (new_key is None):
        raise click.UsageError("expected VERSION --key FILE, or --new-key FILE")
    if new_key is not None:
        public = signing.new_key(new_key)
        click.echo(f"{new_key}: the private key; keep it secret\n{public}: the public one, for INKLING_TRUST")
    elif version is not None and key is not None:
        click.echo(signing.sign_version(labels.version_in(store, version), signing.read_key(key)))
