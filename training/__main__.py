"""python -m training: fit a net into a model store, or measure a stored version again.

TensorFlow is imported inside the commands, so that --help answers at once.
"""

from functools import partial
from pathlib import Path
from typing import Any

import click

from training import labels, quiet
from training.data import DataError, load

SIZES = {  # which options of a net are its own; everything else is shared
    "mlp": ("units", "dropout"),
    "cnn": ("filters", "depth", "heads", "dense", "dropout"),
    "lstm": ("units", "attention", "dropout"),
}


def _numbers(_: click.Context, option: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """A list such as 32,64."""
    if value is None:
        return None
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(
            f"got {value!r}; expected whole numbers with commas, such as 32,64", param=option
        ) from None


def _names(_: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...]:
    """A list such as mlp,cnn; empty where none is given."""
    return tuple(part.strip() for part in value.split(",")) if value else ()


def _checked_data(source: str, seed: int) -> Any:
    try:
        return load(source, seed)
    except DataError as error:
        raise click.ClickException(str(error)) from error


DATA = click.option(
    "--data",
    default="mnist",
    envvar="INKLING_MNIST",
    show_default=True,
    show_envvar=True,
    help="mnist (downloaded), digits (offline), or FILE.npz",
)
STORE = click.option("--store", default="model_store", show_default=True, type=click.Path(path_type=Path))


@click.group()
def main() -> None:
    """Train nets that read digits, and measure them."""


@main.command()
@click.argument("architecture", type=click.Choice(sorted(SIZES)))
@DATA
@STORE
@click.option("--name", help="Name in the store.  [default: the architecture]")
@click.option("--epochs", default=30, show_default=True, type=click.IntRange(1))
@click.option("--batch-size", default=128, show_default=True, type=click.IntRange(1))
@click.option("--learning-rate", default=3e-3, show_default=True, type=click.FloatRange(0, min_open=True))
@click.option("--weight-decay", default=1e-2, show_default=True, type=click.FloatRange(0))
@click.option("--seed", default=0, show_default=True)
@click.option("--augment/--no-augment", default=True, show_default=True)
@click.option(
    "--mixed",
    default=0.25,
    show_default=True,
    type=click.FloatRange(0, 0.5),
    help="Share of drawn and worn digits in a batch; 0 = none, and no drawn outliers.",
)
@click.option(
    "--outliers",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0),
    help="Weight of telling digits from what is none; 0 = not at all.",
)
@click.option(
    "--fonts",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of handwriting fonts to draw with, too; those it lacks are fetched by npm.  [default: no fonts]",
)
@click.option(
    "--units", callback=_numbers, help="mlp: widths of the dense layers, such as 512,256. lstm: width of the state."
)
@click.option("--filters", callback=_numbers, help="cnn: channels of each stage, such as 32,64.")
@click.option("--depth", type=click.IntRange(1), help="cnn: convolutions in a stage.")
@click.option("--heads", type=click.IntRange(0), help="cnn: queries of the attention pooling; 0 = no attention.")
@click.option("--dense", type=click.IntRange(0), help="cnn: width of a dense layer before the logits; 0 = none.")
@click.option("--attention/--no-attention", default=None, help="lstm: pool the rows by learned attention.")
@click.option("--dropout", type=click.FloatRange(0, 1, max_open=True))
@click.option("--checkpoints", type=click.Path(path_type=Path), help="Folder to resume from.  [default: runs/NAME]")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint.")
@click.option("--default", is_flag=True, help="Let the new version answer by default, even if it reads less.")
def fit(
    architecture: str,
    data: str,
    store: Path,
    name: str | None,
    seed: int,
    fonts: Path | None,
    checkpoints: Path | None,
    resume: bool,
    default: bool,
    **options: Any,
) -> None:
    """Train an ARCHITECTURE and export it as the next version of its name."""
    sizes = _sizes(
        architecture,
        {key: options.pop(key) for key in ("units", "filters", "depth", "heads", "dense", "attention", "dropout")},
    )
    dataset = _checked_data(data, seed)
    name = name or architecture
    try:
        labels.default_of(store / name)  # labels that cannot be read are said before hours of training, not after
    except DataError as error:
        raise click.ClickException(str(error)) from error
    quiet.import_tensorflow()
    from training import architectures, export
    from training.fit import Fit, FitOptions, local_strategy

    height, width = dataset.train_images.shape[1:]
    build = architectures.ARCHITECTURES[architecture]
    run = Fit(
        lambda: build(height, width, dataset.classes, **sizes),
        dataset,
        FitOptions(seed=seed, **options),
        local_strategy(),
        _mix(dataset, seed, fonts) if options["mixed"] else None,
    )
    folder = checkpoints or Path("runs") / name
    _show(run, folder, resume)
    click.echo("exporting: background, LiteRT files, evaluation")
    trained = export.Trained(name, architecture, sizes, run.model, run.record())
    try:
        version = export.export(trained, dataset, store, default)
    except DataError as error:
        raise click.ClickException(str(error)) from error
    click.echo(_outcome(version))


def _outcome(version: Path) -> str:
    """How good the new version is, what answers by default now, and what to do next."""
    from training.next_version import checked_card

    metrics = checked_card(version)["metrics"]
    default = labels.default_of(version.parent)
    name = f"{version.parent.name}/{version.name}"
    lines = [f"wrote {version}", f"{name} reads {metrics['accuracy']:.2%} of {metrics['images']} test images"]
    if default != version:
        lines.append(
            f"{default} answers by default as before; let {name} do so with "
            f"""'{{"stable": {version.name}}}' in {version.parent / labels.LABELS}"""
        )
    lines.append(f"next: python -m training certify {version}, which tries what explains it, takes some minutes")
    lines.append(
        f"      or serve it: INKLING_MODEL_STORE={version.parent.parent} make serve, model={version.parent.name}"
    )
    return "\n".join(lines)


def _mix(dataset: Any, seed: int, fonts: Path | None) -> Any:
    from training import mix
    from training.synthetic.fonts import TRAINED_FONTS, fetched

    click.echo("drawing digits, and what is none, which takes some minutes")
    try:
        return mix.mixed(dataset, seed, fetched(fonts, TRAINED_FONTS) if fonts else ())
    except DataError as error:
        raise click.ClickException(str(error)) from error


def _sizes(architecture: str, given: dict[str, Any]) -> dict[str, Any]:
    """The size options that were given, all of them options of this architecture."""
    sizes = {key: value for key, value in given.items() if value is not None}
    if foreign := sorted(set(sizes) - set(SIZES[architecture])):
        raise click.UsageError(f"{architecture} has no --{foreign[0]}; its sizes are {', '.join(SIZES[architecture])}")
    if architecture == "lstm" and "units" in sizes:
        if len(sizes["units"]) != 1:
            raise click.UsageError("lstm takes one number for --units, such as 128")
        sizes["units"] = sizes["units"][0]
    return sizes


def _show(run: Any, folder: Path, resume: bool) -> None:
    """Show the run's progress with the time left; Ctrl-C keeps the checkpoint and says how to go on."""
    try:
        with click.progressbar(length=run.steps, label="training", show_eta=True, item_show_func=_line) as bar:
            for progress in run.run(folder, resume):
                bar.update(progress.step - bar.pos, progress)
                if progress.step % run.steps_per_epoch == 0:
                    click.echo(f"\r{_line(progress)}{' ' * 60}")
    except FileNotFoundError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        raise click.ClickException(
            f"stopped; the checkpoint is in {folder}, go on with the same command and --resume"
        ) from None


def _line(progress: Any) -> str:
    if progress is None:
        return ""
    return f"epoch {progress.epoch}  loss {progress.loss:.4f}  accuracy {progress.accuracy:.4f}"


@main.command()
@click.argument("version", type=click.Path(exists=True, file_okay=False, path_type=Path))
@DATA
@click.option("--corruptions", is_flag=True, help="Also after each of fifteen corruptions.")
@click.option("--attacks", is_flag=True, help="Also under attacks (PGD) of three sizes.")
def evaluate(version: Path, data: str, corruptions: bool, attacks: bool) -> None:
    """Measure a stored VERSION, such as model_store/cnn/3, on the test images and compare with its card."""
    dataset = _checked_data(data, 0)
    quiet.import_tensorflow()
    from training import evaluate as measuring

    measured, carded = measuring.evaluate_stored(version, dataset)
    click.echo(f"{'':24}{'measured':>12}{'card':>12}")
    for key, value in measured.items():
        click.echo(f"{key:24}{value:>12}{carded.get(key, '-'):>12}")
    beside = measuring.of_corruptions(measuring.logits_by(version), dataset) if corruptions else {}
    beside |= measuring.of_attacks(version, dataset) if attacks else {}
    for key, value in beside.items():
        click.echo(f"{key:24}{value:>12}")


@main.command()
@click.argument("version", type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path))
@click.option(
    "--data", help="Compare on the validation images of mnist, digits or FILE.npz.  [default: mixed centroids]"
)
def convert(version: Path, data: str | None) -> None:
    """Write the next version from a stored VERSION, such as model_store/cnn/3, with LiteRT files, without training."""
    images = None if data is None else _checked_data(data, 0).validation_images
    quiet.import_tensorflow()
    from training import next_version as conversion
    from training.litert.conversion import ConversionError

    try:
        click.echo(f"wrote {conversion.convert(version, images)}")
    except (DataError, ConversionError) as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.argument("version", type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path))
@DATA
@click.option("--pictures", default=60, show_default=True, type=click.IntRange(2), help="Of each planted cause.")
@click.option("--digits", default=500, show_default=True, type=click.IntRange(2), help="That the yardstick takes.")
def certify(version: Path, data: str, pictures: int, digits: int) -> None:
    """Put a stored VERSION, such as model_store/cnn/3 (or model_store/cnn for the latest), on trial: which explanation
    methods name a cause that is known? Writes the next version, with the result; takes some minutes."""
    dataset = _checked_data(data, 0)
    quiet.import_tensorflow()
    from training.referee import certify as certification
    from training.referee.table import latest

    try:
        chosen = version if version.name.isdecimal() else next(iter(latest(version)), version)
        written = certification.certify(
            chosen, dataset.train_images, dataset.test_images, pictures=pictures, digits=digits
        )
    except ValueError as error:  # DataError is one
        raise click.ClickException(str(error)) from error
    click.echo(f"wrote {written}")


@main.command()
@DATA
@STORE
@click.option("--models", callback=_names, help="Such as mlp,cnn.  [default: all in the store]")
@click.option("--methods", callback=_names, help="Packages instead of ours: lime,shap,captum,xplique.")
@click.option("--again", is_flag=True, help="Hold the trial anew; takes some minutes, and no version is written.")
@click.option("--pictures", type=click.IntRange(2), help="Of each planted cause, in a new trial.  [default: 60]")
@click.option("--digits", type=click.IntRange(2), help="That the yardstick takes, in a new trial.  [default: 500]")
@click.option(
    "--errors",
    is_flag=True,
    help="Instead: are explanations as far off as they say? With --methods, of these of ours.",
)
@click.option("--held-out", is_flag=True, help="Instead: is what a trial says to believe right about other causes?")
@click.option("--write", is_flag=True, help="Put the tables into benchmarks/RESULTS.md, too.")
def referee(write: bool, **wanted: Any) -> None:
    """Print which explanation methods name causes that are known, for each model of the store: by the trial of its
    latest version that has one (see certify), or by a new trial."""
    quiet.import_tensorflow()
    from training.referee import report

    try:
        click.echo(
            report.report(
                report.Wanted(**wanted, load=partial(_checked_data, seed=0)), report.RESULTS if write else None
            )
        )
    except ValueError as error:  # DataError is one
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
