"""Train a net, or train on from a stored version, and export it as the next version of its name."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from training import quiet
from training.commands.options import DATA, STORE, checked_data, names, numbers
from training.errors import DataError
from training.store import labels

SIZES = {  # which options of a net are its own; everything else is shared
    "mlp": ("units", "dropout"),
    "cnn": ("filters", "depth", "heads", "dense", "dropout"),
    "lstm": ("units", "attention", "dropout"),
}
ALL_SIZES = ("units", "filters", "depth", "heads", "dense", "attention", "dropout")
NEW, ON = {"epochs": 30, "learning_rate": 3e-3}, {"epochs": 5, "learning_rate": 3e-4}  # a new net, and --from
MOVED = 40  # test digits at most whose explanations are compared with the parent's


@dataclass(frozen=True)
class Start:
    """What is trained: an architecture with its options, how its net is built, the version it begins from, if any."""

    architecture: str
    options: dict[str, Any]
    build: Callable[[], Any]
    parent: Path | None = None


@click.command()
@click.argument("architecture", type=click.Choice(sorted(SIZES)), required=False)
@click.option("--from", "parent", help="Train on from a stored version, such as cnn/5, or cnn for its default.")
@DATA
@STORE
@click.option("--name", help="Name in the store.  [default: the architecture, or the name of --from]")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the data.  [default: 30; with --from 5]")
@click.option("--batch-size", default=128, show_default=True, type=click.IntRange(1))
@click.option(
    "--learning-rate", type=click.FloatRange(0, min_open=True), help="At most.  [default: 0.003; with --from 0.0003]"
)
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
    "--replay",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 0.5),
    help="With --from: share of a batch that is of --replay-data, so that it is not forgotten.",
)
@click.option(
    "--replay-data", default="mnist", envvar="INKLING_MNIST", show_default=True, show_envvar=True, help="As --data."
)
@click.option("--freeze", callback=names, help="With --from: layers that stay as they are, such as conv2d*,dense.")
@click.option(
    "--must-not-lose",
    type=click.FloatRange(0, 100),
    help="With --from: export nothing that reads so many points fewer of the test images than the parent.",
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
@click.option(
    "--strategy",
    default="auto",
    show_default=True,
    type=click.Choice(("auto", "one", "mirrored", "multiworker", "tpu")),
    help="How to spread it: over several GPUs (mirrored), or over the machines of TF_CONFIG (multiworker).",
)
@click.option("--default", is_flag=True, help="Let the new version answer by default, even if it reads less.")
def command(
    architecture: str | None,
    parent: str | None,
    data: str,
    replay_data: str,
    store: Path,
    name: str | None,
    fonts: Path | None,
    freeze: tuple[str, ...],
    must_not_lose: float | None,
    checkpoints: Path | None,
    resume: bool,
    default: bool,
    strategy: Any,
    **options: Any,
) -> None:
    """Train an ARCHITECTURE, or on from a stored version, and export it as the next version of its name."""
    sizes = _sizes(architecture, {key: options.pop(key) for key in ALL_SIZES})
    _check_usage(architecture, parent, sizes, {"replay": options["replay"], "freeze": freeze, "must": must_not_lose})
    options |= {key: value for key, value in (ON if parent else NEW).items() if options[key] is None}
    dataset = checked_data(data, options["seed"])
    replayed = checked_data(replay_data, options["seed"]) if options["replay"] else None
    name = name or (parent or str(architecture)).split("/")[0]
    labels.default_of(store / name)  # labels that cannot be read are said before hours of training, not after
    quiet.import_tensorflow()
    from training import distribute
    from training.data import joined
    from training.fit import Fit, FitOptions

    spread = distribute.strategy_of(strategy)  # before anything else of TensorFlow
    start = _from_version(store, parent, freeze) if parent else _new(str(architecture), sizes, dataset)
    known = joined(dataset, replayed) if replayed else dataset
    mix = _mix(known, options["seed"], fonts) if options["mixed"] else None
    run = Fit(start.build, dataset, FitOptions(**options), spread, mix, replayed)
    _check_classes(run.model, known)
    folder = checkpoints or Path("runs") / name
    _show(run, folder, resume)
    if run.worker > 0:
        return  # the first one exports
    if start.parent:
        _gate(start.parent, run.model, [one for one in (dataset, replayed) if one], must_not_lose, folder)
    _export(start, run, known, store / name, default)


def _export(start: Start, run: Any, data: Any, family: Path, default: bool) -> None:
    """Write the next version of the model in `family`, and say what came out."""
    from training.store import export

    click.echo("exporting: background, LiteRT files, evaluation")
    parent = start.parent
    record = run.record() | ({"parent": f"{parent.parent.name}/{parent.name}"} if parent else {})
    trained = export.Trained(family.name, start.architecture, start.options, run.model, record)
    version = export.export(trained, data, family.parent, default)
    if parent:
        _show_moved(parent, version, data)
    click.echo(_outcome(version))


def _check_usage(architecture: str | None, parent: str | None, sizes: Any, of_parent: dict[str, Any]) -> None:
    if (architecture is None) == (parent is None):
        raise click.UsageError("expected an ARCHITECTURE, or --from with a stored version")
    if parent and sizes:
        raise click.UsageError(f"a version has the sizes that it has; leave out --{next(iter(sizes))}, or --from")
    if not parent and any(of_parent.values()):
        raise click.UsageError("--replay, --freeze and --must-not-lose need --from")


def _new(architecture: str, sizes: dict[str, Any], dataset: Any) -> Start:
    from training import architectures

    height, width = dataset.train_images.shape[1:]
    options = architectures.all_options(architecture, sizes)
    build = architectures.ARCHITECTURES[architecture]
    return Start(architecture, options, lambda: build(height, width, dataset.classes, **options))


def _from_version(store: Path, name: str, freeze: tuple[str, ...]) -> Start:
    from training import architectures, incremental
    from training.store.next_version import checked_card

    version = incremental.parent_in(store, name)
    card = checked_card(version)
    incremental.rebuilt(version, freeze)  # what cannot be is said now, not after the drawing of digits
    options = architectures.all_options(card["architecture"], card["options"])
    return Start(card["architecture"], options, lambda: incremental.rebuilt(version, freeze), version)


def _check_classes(model: Any, known: Any) -> None:
    there = model.output["logits"].shape[1]
    if known.classes > there:
        raise DataError(f"{known.name} has labels up to {known.classes - 1}; the net tells 0 .. {there - 1} apart")


def _gate(parent: Path, model: Any, data: list[Any], must_not_lose: float | None, folder: Path) -> None:
    """Say what got better and worse; end where a loss is larger than is allowed."""
    from training.calibrate import in_rows
    from training.evaluate import logits_by
    from training.incremental import change, told

    def now(images: Any) -> Any:
        return in_rows(lambda rows: model(rows, training=False)["logits"].numpy(), images)

    changes = {one.name: change(logits_by(parent), now, one.test_images, one.test_labels) for one in data}
    for name, found in changes.items():
        click.echo(told(f"test images of {name}", found))
    lost = [name for name, found in changes.items() if must_not_lose is not None and 100 * -found.gain > must_not_lose]
    if lost:
        raise DataError(
            f"exported nothing, because on {' and '.join(lost)} the net reads over {must_not_lose:g} points less than "
            f"{parent}; what was trained is in {folder} (try --replay, fewer --epochs or a lower --learning-rate)"
        )


def _show_moved(parent: Path, version: Path, known: Any) -> None:
    from training.referee.moved import moved, told

    some = slice(None, None, -(-len(known.test_images) // MOVED))
    click.echo(told(moved(parent, version, known.test_images[some], known.test_labels[some])))


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


def _sizes(architecture: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """The size options that were given, all of them options of this architecture."""
    sizes = {key: value for key, value in given.items() if value is not None}
    if architecture is None:
        return sizes
    if foreign := sorted(set(sizes) - set(SIZES[architecture])):
        raise click.UsageError(f"{architecture} has no --{foreign[0]}; its sizes are {', '.join(SIZES[architecture])}")
    if architecture == "lstm" and "units" in sizes:
        if len(sizes["units"]) != 1:
            raise click.UsageError("lstm takes one number for --units, such as 128")
        sizes["units"] = sizes["units"][0]
    return sizes


def _show(run: Any, folder: Path, resume: bool) -> None:
    """Show the run's progress with the time left. Ctrl-C, or SIGTERM, ends it after the step under way, with a
    checkpoint, and says how to go on."""
    from training.fit import Stopped

    before = {kind: signal.signal(kind, lambda *_: run.stop()) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        with click.progressbar(length=run.steps, label="training", show_eta=True, item_show_func=_line) as bar:
            for progress in run.run(folder, resume):
                bar.update(progress.step - bar.pos, progress)
                if progress.step % run.steps_per_epoch == 0:
                    click.echo(f"\r{_line(progress)}{' ' * 60}")
    except FileNotFoundError as error:
        raise click.ClickException(str(error)) from error
    except Stopped as error:
        raise click.ClickException(
            f"{error}; the checkpoint is in {folder}, go on with the same command and --resume"
        ) from error
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _line(progress: Any) -> str:
    if progress is None:
        return ""
    return f"epoch {progress.epoch}  loss {progress.loss:.4f}  accuracy {progress.accuracy:.4f}"
