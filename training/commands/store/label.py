"""Say which version answers under which label."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from training.errors import DataError
from training.store import labels

if TYPE_CHECKING:
    from training.store.signing import PrivateKey


@click.command()
@click.argument("model")
@click.argument("label", required=False)
@click.argument("version", required=False, type=click.IntRange(1))
@click.option("--remove", is_flag=True, help="Take the LABEL away.")
@click.option(
    "--store", default="model_store", show_default=True, help="Folder, or address such as s3://BUCKET/FOLDER."
)
@click.option("--key", type=click.Path(dir_okay=False, path_type=Path), help="Private key that signs the labels.")
@click.option("--adopt", is_flag=True, help="Sign labels, too, that were there and that this key did not sign.")
def command(
    model: str, label: str | None, version: int | None, remove: bool, store: str, key: Path | None, adopt: bool
) -> None:
    """Let a LABEL of a MODEL, such as stable or canary, point at a VERSION; a running server follows at once. Without
    these, list what there is. The version under the label stable answers by default."""
    if (version is None) != (label is None or remove) or (remove and label is None):
        raise click.UsageError("expected MODEL alone, MODEL LABEL VERSION, or MODEL LABEL --remove")
    private = _private(key)
    numbers, pointed = _there(store, model)
    if not numbers:
        raise DataError(f"{store} has no model {model!r} with a version")
    if label is not None:
        if version is not None and version not in numbers:
            raise DataError(f"{model} of {store} has no version {version}; it has {', '.join(map(str, numbers))}")
        _point(store, model, labels.checked_name(label), version, private, adopt)
        numbers, pointed = _there(store, model)
    stable = pointed.get(labels.STABLE)
    default = stable if stable in numbers else numbers[-1]
    for number in numbers:
        notes = [name for name, at in pointed.items() if at == number] + ["(answers by default)"] * (number == default)
        click.echo(" ".join([f"{model}/{number}", *notes]))


def _private(key: Path | None) -> "PrivateKey | None":
    from training.store import signing

    return None if key is None else signing.read_key(key)


def _there(store: str, model: str) -> tuple[list[int], Mapping[str, int]]:
    """The versions of a model, ascending, and its labels."""
    if "://" in store:
        from training.store import remote

        there = remote.connect(store)
        return remote.versions_of(there, model), remote.labels_of(there, model)[1]
    family = Path(store) / model
    found = family.iterdir() if family.is_dir() else ()
    return sorted(int(path.name) for path in found if path.name.isdecimal()), labels.all_of(family)


def _point(store: str, model: str, label: str, version: int | None, key: "PrivateKey | None", adopt: bool) -> None:
    if "://" in store:
        from training.store import remote

        remote.point(remote.connect(store), model, label, version, key, adopt)
    else:
        labels.point(Path(store) / model, label, version, key, adopt)
