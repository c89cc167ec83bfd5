"""Push a version into a store elsewhere."""

from pathlib import Path

import click

from training.commands.options import REMOTE, VERSION


@click.command()
@VERSION
@REMOTE
@click.option(
    "--from",
    "folder",
    default="model_store",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The store that has it.",
)
@click.option("--label", help="And let this label point at it there.")
@click.option("--key", type=click.Path(dir_okay=False, path_type=Path), help="Private key that signs the label.")
def command(version: str, store: str, folder: Path, label: str | None, key: Path | None) -> None:
    """Write a VERSION (such as cnn/3) into the store at an address: servers that follow it (INKLING_MODEL_SOURCE) serve
    it as soon as it is whole. One that is there stays as it is."""
    from training.store import labels, remote, signing
    from training.store.remote import masked

    found, name_of_label = labels.version_in(folder, version), None if label is None else labels.checked_name(label)
    private = None if key is None else signing.read_key(key)
    there = remote.connect(store)
    name = f"{found.parent.name}/{found.name}"
    new = remote.push(there, found)
    files = len([path for path in found.rglob("*") if path.is_file()])
    told = f": {new} of its {files} files were not there yet" if new < files else ""
    told = told if new else " is there already"
    click.echo(f"{masked(store)}/{name}{told}")
    if name_of_label is not None:
        number = remote.point(there, found.parent.name, name_of_label, int(found.name), private)
        click.echo(f"{label} points at {name} (labels {number})")
