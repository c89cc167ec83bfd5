"""Train a net, or train on from a stored version, and export it as the next version of its name."""

from pathlib import Path
from typing import Any

import click

from training import quiet
from training.commands import training_run
from training.commands.options import (
    ALL_SIZES,
    DATA,
    SIZES,
    STORE,
    WITH_SIZES,
    WITH_TRAINING,
    checked_data,
    names,
    together,
)
from training.commands.training_run import Start
from training.errors import DataError
from training.store import labels

NEW, ON = {"epochs": 30, "learning_rate": 3e-3}, {"epochs": 5, "learning_rate": 3e-4}  # a new net, and --from
MOVED = 40  # test digits at most whose explanations are compared with the parent's

TRAINING_ON = together(
    click.option("--from", "parent", help="Train on from a stored version, such as cnn/6, or cnn for its default."),
    click.option(
        "--replay",
        default=0.0,
        show_default=True,
        type=click.FloatRange(0, 0.5),
        help="With --from: share of a batch that is of --replay-data, so that it is not forgotten.",
    ),
    click.option(
        "--replay-data", default="mnist", envvar="INKLING_MNIST", show_default=True, show_envvar=True, help="As --data."
    ),
    click.option("--freeze", callback=names, help="With --from: layers that stay as they are, such as conv2d*,dense."),
    click.option(
        "--must-not-lose",
        type=click.FloatRange(0, 100),
        help="With --from: export nothing that reads so many points fewer of the test images than the parent.",
    ),
)


@click.command()
@click.argument("architecture", type=click.Choice(sorted(SIZES)), required=False)
@DATA
@STORE
@click.option("--name", help="Name in the store.  [default: the architecture, or the name of --from]")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the data.  [default: 30; with --from 5]")
@click.option(
    "--learning-rate", type=click.FloatRange(0, min_open=True), help="At most.  [default: 0.003; with --from 0.0003]"
)
@WITH_TRAINING
@WITH_SIZES
@TRAINING_ON
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
    precision: str,
    xla: bool | None,
    checkpoints: Path | None,
    resume: bool,
    log: str | None,
    default: bool,
    strategy: Any,
    **options: Any,
) -> None:
    """Train an ARCHITECTURE, or on from a stored version, and export it as the next version of its name."""
    sizes = training_run.checked_sizes(architecture, {key: options.pop(key) for key in ALL_SIZES})
    _check_usage(architecture, parent, sizes, {"replay": options["replay"], "freeze": freeze, "must": must_not_lose})
    options |= {key: value for key, value in (ON if parent else NEW).items() if options[key] is None}
    dataset = checked_data(data, options["seed"])
    replayed = checked_data(replay_data, options["seed"]) if options["replay"] else None
    version = labels.version_in(store, parent) if parent else None
    name = name or (version.parent.name if version else str(architecture))
    labels.default_of(store / name)  # labels that cannot be read are said before hours of training, not after
    training_run.check_writable(log)
    quiet.import_tensorflow()
    from training import distribute
    from training.data import joined
    from training.fit import Fit, FitOptions

    spread = distribute.strategy_of(strategy)  # before anything else of TensorFlow
    options = training_run.accelerated(options, precision, xla)
    start = _from_version(version, freeze) if version else training_run.new(str(architecture), sizes, dataset)
    known = joined(dataset, replayed) if replayed else dataset
    mix = training_run.drawn(known, options, fonts)
    run = Fit(start.build, dataset, FitOptions(**options), spread, mix, replayed)
    training_run.check_classes(run.model, known)
    folder = training_run.checkpoint_folder(checkpoints, name)
    training_run.show(run, folder, resume, log)
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
    version = export.export(trained, data, family.parent, "new" if default else "better")
    if parent:
        _show_moved(parent, version, data)
    click.echo(training_run.outcome(version))


def _check_usage(architecture: str | None, parent: str | None, sizes: Any, of_parent: dict[str, Any]) -> None:
    if (architecture is None) == (parent is None):
        raise click.UsageError("expected an ARCHITECTURE, or --from with a stored version")
    if parent and sizes:
        raise click.UsageError(f"a version has the sizes that it has; leave out --{next(iter(sizes))}, or --from")
    if not parent and any(of_parent.values()):
        raise click.UsageError("--replay, --freeze and --must-not-lose need --from")


def _from_version(version: Path, freeze: tuple[str, ...]) -> Start:
    from training import architectures, incremental
    from training.store.card import checked_card

    card = checked_card(version)
    incremental.rebuilt(version, freeze)  # what cannot be is said now, not after the drawing of digits
    options = architectures.all_options(card["architecture"], card["options"])
    return Start(card["architecture"], options, lambda: incremental.rebuilt(version, freeze), version)


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
