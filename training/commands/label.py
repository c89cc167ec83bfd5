"""Say which version answers under which label."""

from pathlib import Path

import click

from training.commands.options import STORE
from training.errors import DataError
from training.store import labels


@click.command()
@click.argument("model")
@click.argument("label", required=False)
@click.argument("version", required=False, type=click.IntRange(1))
@click.option("--remove", is_flag=True, help="Take the LABEL away.")
@STORE
def command(model: str, label: str | None, version: int | None, remove: bool, store: Path) -> None:
    """Let a LABEL of a MODEL, such as stable or canary, point at a VERSION; a running server follows at once. Without
    these, list what there is. The version under the label stable answers by default."""
    family = store / model
    if labels.default_of(family) is None:
        raise DataError(f"{store} has no model {model!r} with a version")
    if label is not None and version is not None and not remove:
        if label.isdecimal() or "/" in label or not label:
            raise DataError(f"got the label {label!r}; expected a word: numbers are versions, and / is between")
        if not (family / str(version)).is_dir():
            raise DataError(f"{family} has no version {version}; it has {', '.join(map(str, _versions(family)))}")
        labels.point(family, label, version)
    elif label is not None and remove and version is None:
        labels.remove(family, label)
    elif label is not None or remove:
        raise click.UsageError("expected MODEL alone, MODEL LABEL VERSION, or MODEL LABEL --remove")
    pointed, default = labels.all_of(family), labels.default_of(family)
    for number in _versions(family):
        notes = [name for name, at in pointed.items() if at == number]
        if default == family / str(number):
            notes.append("(answers by default)")
        click.echo(" ".join([f"{model}/{number}", *notes]))


def _versions(family: Path) -> list[int]:
    return sorted(int(path.name) for path in family.iterdir() if path.name.isdecimal())
