"""What commands share: options, and the data that they name."""

from pathlib import Path
from typing import Any

import click


def names(_: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...]:
    """A list such as mlp,cnn; empty where none is given."""
    return tuple(part.strip() for part in value.split(",")) if value else ()


def numbers(_: click.Context, option: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """A list such as 32,64."""
    if value is None:
        return None
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(
            f"got {value!r}; expected whole numbers with commas, such as 32,64", param=option
        ) from None


def checked_data(source: str, seed: int = 0) -> Any:
    """The data set (`training.data.Dataset`) that --data names; raises DataError."""
    from training.data import load

    return load(source, seed)


DATA = click.option(
    "--data",
    default="mnist",
    envvar="INKLING_MNIST",
    show_default=True,
    show_envvar=True,
    help="mnist (downloaded), digits (offline), FILE.npz, or FILE.jsonl of INKLING_FEEDBACK",
)
STORE = click.option("--store", default="model_store", show_default=True, type=click.Path(path_type=Path))
VERSION = click.argument("version", type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path))
