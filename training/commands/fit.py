"""Train a net and export it as the next version of its name."""

from pathlib import Path
from typing import Any

import click

from training import quiet
from training.commands.options import DATA, STORE, checked_data, numbers
from training.store import labels

SIZES = {  # which options of a net are its own; everything else is shared
    "mlp": ("units", "dropout"),
    "cnn": ("filters", "depth", "heads", "dense", "dropout"),
    "lstm": ("units", "attention", "dropout"),
}


@click.command()
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
    "--units", callback=numbers, help="mlp: widths of the dense layers, such as 512,256. lstm: width of the state."
)
@click.option("--filters", callback=numbers, help="cnn: channels of each stage, such as 32,64.")
@click.option("--depth", type=click.IntRange(1), help="cnn: convolutions in a stage.")
@click.option("--heads", type=click.IntRange(0), help="cnn: queries of the attention pooling; 0 = no attention.")
@click.option("--dense", type=click.IntRange(0), help="cnn: width of a dense layer before the logits; 0 = none.")
@click.option("--attention/--no-attention", default=None, help="lstm: pool the rows by learned attention.")
@click.option("--dropout", type=click.FloatRange(0, 1, max_open=True))
@click.option("--checkpoints", type=click.Path(path_type=Path), help="Folder to resume from.  [default: runs/NAME]")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint.")
@click.option("--default", is_flag=True, help="Let the new version answer by default, even if it reads less.")
def command(
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
    dataset = checked_data(data, seed)
    name = name or architecture
    labels.default_of(store / name)  # labels that cannot be read are said before hours of training, not after
    quiet.import_tensorflow()
    from training import architectures
    from training.fit import Fit, FitOptions, local_strategy
    from training.store import export

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
    click.echo(_outcome(export.export(trained, dataset, store, default)))


def _outcome(version: Path) -> str:
    """How good the new version is, what answers by default now, and what to do next."""
    from training.store.next_version import checked_card

    metrics = checked_card(version)["metrics"]
    default = labels.default_of(version.parent)
    family = version.parent
    name = f"{family.name}/{version.name}"
    lines = [f"wrote {version}", f"{name} reads {metrics['accuracy']:.2%} of {metrics['images']} test images"]
    if default != version:
        lines.append(
            f"{default} answers by default as before; let {name} do so with "
            f"python -m training label {family.name} {labels.STABLE} {version.name} --store {family.parent}"
        )
    lines.append(f"next: python -m training certify {version}, which tries what explains it, takes some minutes")
    lines.append(f"      or serve it: INKLING_MODEL_STORE={family.parent} make serve, model={family.name}")
    return "\n".join(lines)


def _mix(dataset: Any, seed: int, fonts: Path | None) -> Any:
    from training import mix
    from training.synthetic.fonts import TRAINED_FONTS, fetched

    click.echo("drawing digits, and what is none, which takes some minutes")
    return mix.mixed(dataset, seed, fetched(fonts, TRAINED_FONTS) if fonts else ())


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
