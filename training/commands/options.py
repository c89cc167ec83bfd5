"""What commands share: options, and the data that they name."""

from collections.abc import Callable
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
REMOTE = click.option(
    "--store",
    required=True,
    metavar="ADDRESS",
    help="s3://BUCKET/FOLDER, gs://..., file:///..., https://... (read only)",
)
VERSION = click.argument("version")  # as training.store.labels.version_in takes it

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def together(*options: Decorator) -> Decorator:
    """Several options as one decorator, listed by --help in this order."""

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


SIZES = {  # which options of a net are its own; everything else is shared
    "mlp": ("units", "dropout"),
    "cnn": ("filters", "depth", "heads", "dense", "dropout"),
    "lstm": ("units", "attention", "dropout"),
}
ALL_SIZES = ("units", "filters", "depth", "heads", "dense", "attention", "dropout")

WITH_SIZES = together(
    click.option(
        "--units", callback=numbers, help="mlp: widths of the dense layers, such as 512,256. lstm: width of the state."
    ),
    click.option("--filters", callback=numbers, help="cnn: channels of each stage, such as 32,64."),
    click.option("--depth", type=click.IntRange(1), help="cnn: convolutions in a stage."),
    click.option("--heads", type=click.IntRange(0), help="cnn: queries of the attention pooling; 0 = no attention."),
    click.option("--dense", type=click.IntRange(0), help="cnn: width of a dense layer before the logits; 0 = none."),
    click.option("--attention/--no-attention", default=None, help="lstm: pool the rows by learned attention."),
    click.option("--dropout", type=click.FloatRange(0, 1, max_open=True)),
)

WITH_TRAINING = together(
    click.option("--batch-size", default=128, show_default=True, type=click.IntRange(1)),
    click.option("--weight-decay", default=1e-2, show_default=True, type=click.FloatRange(0)),
    click.option("--seed", default=0, show_default=True),
    click.option("--augment/--no-augment", default=True, show_default=True),
    click.option(
        "--mixed",
        default=0.25,
        show_default=True,
        type=click.FloatRange(0, 0.5),
        help="Share of drawn and worn digits in a batch; 0 = none, and no drawn outliers.",
    ),
    click.option(
        "--outliers",
        default=0.5,
        show_default=True,
        type=click.FloatRange(0),
        help="Weight of telling digits from what is none; 0 = not at all.",
    ),
    click.option(
        "--fonts",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder of handwriting fonts to draw with, too; those it lacks are fetched by npm.  [default: no fonts]",
    ),
    click.option(
        "--precision",
        default="auto",
        show_default=True,
        type=click.Choice(("auto", "float32", "mixed")),
        help="mixed = 16 bits where they are enough, 32 elsewhere; auto = mixed on a GPU.",
    ),
    click.option("--xla/--no-xla", default=None, help="Compile each step as a whole.  [default: on a GPU]"),
    click.option(
        "--checkpoints", type=click.Path(path_type=Path), help="Folder to resume from.  [default: one in runs/]"
    ),
    click.option("--resume", is_flag=True, help="Go on from the last checkpoint."),
    click.option(
        "--log",
        type=click.Path(dir_okay=False, allow_dash=True),
        help="Append a line of JSON for each epoch to this file; - = standard output, without a progress bar.",
    ),
)
