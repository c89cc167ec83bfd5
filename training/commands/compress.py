"""Make a smaller version of a stored one: pruned, distilled, quantised."""

from pathlib import Path
from typing import Any

import click

from training import quiet
from training.commands import training_run
from training.commands.options import ALL_SIZES, DATA, SIZES, STORE, WITH_SIZES, WITH_TRAINING, checked_data, names
from training.commands.training_run import Start
from training.errors import DataError
from training.store import labels

TRAINS = (
    "epochs", "learning_rate", "batch_size", "weight_decay", "augment", "mixed", "outliers", "fonts",
    "precision", "xla", "checkpoints", "resume", "log", "distil", "teachers",
)  # fmt: skip
PRUNED, DISTILLED = {"epochs": 10, "learning_rate": 1e-3}, {"epochs": 40, "learning_rate": 3e-3}


@click.command()
@click.argument("parent")
@click.option(
    "--prune", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="Share of channels and units to remove."
)
@click.option("--distill-into", type=click.Choice(sorted(SIZES)), help="Train a new net on what PARENT says.")
@click.option("--teachers", callback=names, help="Versions to learn from, such as cnn/6,lstm/6.  [default: PARENT]")
@click.option(
    "--distil",
    default=0.7,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of the loss that the teachers have; the labels have the rest.",
)
@click.option(
    "--quantize",
    type=click.Choice(("int8", "dynamic", "weight-only")),
    help="The file that predicts: 8 bits, 8-bit weights, or 16-bit weights.",
)
@DATA
@STORE
@click.option("--name", help="Name in the store.  [default: that of PARENT, or of --distill-into]")
@click.option("--label", help="Label that points at the new version, such as edge.")
@click.option("--epochs", type=click.IntRange(1), help="[default: 10 after --prune; 40 with --distill-into]")
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="At most.  [default: 0.001; 0.003]")
@WITH_TRAINING
@WITH_SIZES
@click.option("--default", is_flag=True, help="Let the new version answer by default.")
def command(
    parent: str,
    prune: float | None,
    distill_into: str | None,
    teachers: tuple[str, ...],
    quantize: Any,
    data: str,
    store: Path,
    name: str | None,
    label: str | None,
    default: bool,
    **options: Any,
) -> None:
    """Write a smaller version of PARENT, such as cnn/6, or cnn for its default: with fewer channels (--prune), as
    another net that learns from it (--distill-into), in fewer bits (--quantize), or the last after one of the others.
    """
    sizes = training_run.checked_sizes(distill_into, {key: options.pop(key) for key in ALL_SIZES})
    _check_usage(prune, distill_into, sizes, quantize, (label, name))
    if not (prune or distill_into):
        training_run.refuse_given("--prune or --distill-into", TRAINS)
    training_run.check_writable(options["log"])
    dataset = checked_data(data, options["seed"])
    quiet.import_tensorflow()
    from training import incremental

    version = incremental.parent_in(store, parent)
    taught = [incremental.parent_in(store, teacher) for teacher in teachers or (parent,)]
    start = _start(version, prune, distill_into, sizes, dataset)
    family = store / (name or distill_into or version.parent.name)
    if not (prune or distill_into):
        _check_same_data(version, dataset)
    labels.default_of(family)  # labels that cannot be read are said before hours of training, not after
    if prune or distill_into:
        options |= {k: v for k, v in (PRUNED if prune else DISTILLED).items() if options[k] is None}
        model, record = _trained(start, taught, dataset, family.name, options)
    else:
        model, record = start.build(), _card(version)["training"]
    record = {**record, "parent": f"{version.parent.name}/{version.name}"}
    record |= {"pruned": prune} if prune else {}
    trained = (family.name, start.architecture, start.options, model, record, quantize)
    _export(version, trained, dataset, family, (label, default))


def _check_usage(
    prune: Any, distill_into: Any, sizes: Any, quantize: Any, words: tuple[str | None, str | None]
) -> None:
    if prune and distill_into:
        raise click.UsageError("--prune and --distill-into are two ways; give one of them")
    if not (prune or distill_into or quantize):
        raise click.UsageError("expected --prune, --distill-into or --quantize")
    if sizes and not distill_into:
        raise click.UsageError(f"--{next(iter(sizes))} is of a new net; it needs --distill-into")
    for option, word in zip(("--label", "--name"), words, strict=True):
        if word is not None and (not word or word.isdecimal() or "/" in word or word.startswith(".")):
            raise click.UsageError(f"got {option} {word!r}; expected a word: numbers are versions, and / is between")


def _check_same_data(version: Path, dataset: Any) -> None:
    """A quantised version is calibrated and measured anew; on other data than the net's that would be of no use."""
    trained_on = _card(version)["training"].get("data", {}).get("name")
    if trained_on is not None and Path(trained_on).stem != Path(dataset.name).stem:
        raise DataError(
            f"{version} was trained on {trained_on}; got the data {dataset.name}, by which the smaller file would be "
            "calibrated and measured: give --data as for its training"
        )


def _card(version: Path) -> dict[str, Any]:
    from training.store.card import checked_card

    return checked_card(version)


def _start(version: Path, prune: float | None, distill_into: str | None, sizes: Any, dataset: Any) -> Start:
    from training import architectures, incremental
    from training.compress import prune as pruning

    if distill_into:
        return training_run.new(distill_into, sizes, dataset)
    card = _card(version)
    net = incremental.rebuilt(version)
    training_run.check_classes(net, dataset)
    options = architectures.all_options(card["architecture"], card["options"])
    if not prune:
        return Start(card["architecture"], options, lambda: net)
    fewer = pruning.smaller(card["architecture"], options, prune)
    return Start(card["architecture"], fewer, lambda: pruning.pruned(net, card["architecture"], fewer))


def _trained(start: Start, taught: list[Path], dataset: Any, name: str, options: dict[str, Any]) -> tuple[Any, Any]:
    """The net, and what its card says of the training."""
    from training import distribute
    from training.compress.distil import teacher_of
    from training.fit import Fit, FitOptions

    given = {key: options.pop(key) for key in ("fonts", "precision", "xla", "checkpoints", "resume", "log")}
    options = training_run.accelerated(options, given["precision"], given["xla"])
    teacher = teacher_of(taught, dataset.classes)
    mix = training_run.drawn(dataset, options, given["fonts"])
    strategy = distribute.strategy_of("one")
    run = Fit(start.build, dataset, FitOptions(**options), strategy, mix, teacher=teacher)
    folder = training_run.checkpoint_folder(given["checkpoints"], f"{name}-smaller")
    training_run.show(run, folder, given["resume"], given["log"])
    heard = [f"{one.parent.name}/{one.name}" for one in taught] if run.teacher else []
    return run.model, run.record() | ({"teachers": heard} if heard else {})


def _export(
    parent: Path, trained: tuple[Any, ...], dataset: Any, family: Path, pointing: tuple[str | None, bool]
) -> None:
    """Write the next version, let the label point at it, and say what came out beside its parent."""
    from training.compress.costs import costs, table
    from training.store import export

    click.echo("exporting: background, LiteRT files, evaluation")
    label, default = pointing
    version = export.export(export.Trained(*trained), dataset, family.parent, "new" if default else "before")
    if label:
        labels.point(family, label, int(version.name))
    with quiet.muted():
        found = [costs(one, dataset, parent) for one in (parent, version)]
    click.echo(table(found))
    click.echo(training_run.outcome(version))
