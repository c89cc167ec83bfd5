"""What fit and compress share: what is trained, its progress on the terminal and in a log, and the export."""

import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from training.commands.options import SIZES
from training.errors import DataError


@dataclass(frozen=True)
class Start:
    """What is trained: an architecture with its options, how its net is built, the version it begins from, if any."""

    architecture: str
    options: dict[str, Any]
    build: Callable[[], Any]
    parent: Path | None = None


def new(architecture: str, sizes: dict[str, Any], dataset: Any) -> Start:
    """A new net for a data set."""
    from training import architectures

    height, width = dataset.train_images.shape[1:]
    options = architectures.all_options(architecture, sizes)
    build = architectures.ARCHITECTURES[architecture]
    return Start(architecture, options, lambda: build(height, width, dataset.classes, **options))


def checked_sizes(architecture: str | None, given: dict[str, Any]) -> dict[str, Any]:
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


def check_classes(model: Any, known: Any) -> None:
    """Raises DataError where the data has labels that the net does not tell apart."""
    there = model.output["logits"].shape[1]
    if known.classes > there:
        raise DataError(f"{known.name} has labels up to {known.classes - 1}; the net tells 0 .. {there - 1} apart")


def drawn(dataset: Any, options: dict[str, Any], fonts: Path | None) -> Any:
    """What is mixed into the batches (`training.mix.Mix`), if anything."""
    if not options["mixed"]:
        return None
    from training import mix
    from training.synthetic.fonts import TRAINED_FONTS, fetched

    click.echo("drawing digits, and what is none, which takes some minutes")
    return mix.mixed(dataset, options["seed"], fetched(fonts, TRAINED_FONTS) if fonts else ())


def accelerated(options: dict[str, Any], precision: str, xla: bool | None) -> dict[str, Any]:
    """The options with how a step is computed: by default as fits the device."""
    from training.distribute import has_gpu

    gpu = has_gpu()
    half = gpu if precision == "auto" else precision == "mixed"
    return options | {"half_precision": half, "xla": gpu if xla is None else xla}


def refuse_given(needed: str, names: Sequence[str]) -> None:
    """Raises UsageError where one of these options was given on the command line: here it would change nothing."""
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} is of training; it needs {needed}")


def check_writable(log: str | None) -> None:
    """Raises DataError where nothing can be appended to the log, before hours of training and not after an epoch."""
    if log in (None, "-"):
        return
    try:
        with Path(str(log)).open("a"):
            pass
    except OSError as error:
        raise DataError(f"--log {log} cannot be written: {error.strerror}") from error


def checkpoint_folder(given: Path | None, name: str) -> Path:
    """Where checkpoints go: runs/NAME unless it is said. Raises DataError where there can be no folder."""
    folder = given or Path("runs") / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be a folder of checkpoints: {error.strerror}") from error
    return folder


def show(run: Any, folder: Path, resume: bool, log: str | None = None) -> None:
    """Train, and show the progress with the time left. Ctrl-C, or SIGTERM, ends it after the step under way, with a
    checkpoint, and says how to go on."""
    from training.fit import Stopped

    before = {kind: signal.signal(kind, lambda *_: run.stop()) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        if log == "-":
            for progress in run.run(folder, resume):
                _log(run, progress, log)
        else:
            with click.progressbar(length=run.steps, label="training", show_eta=True, item_show_func=_line) as bar:
                for progress in run.run(folder, resume):
                    bar.update(progress.step - bar.pos, progress)
                    if progress.step % run.steps_per_epoch == 0:
                        click.echo(f"\r{_line(progress)}{' ' * 60}")
                        _log(run, progress, log)
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
    return (
        f"epoch {progress.epoch}  loss {progress.loss:.4f}  accuracy {progress.accuracy:.4f}  "
        f"{progress.steps_per_second:.1f} steps/s"
    )


def _log(run: Any, progress: Any, log: str | None) -> None:
    """A line of JSON at the end of each epoch."""
    if log is None or progress.step % run.steps_per_epoch:
        return
    line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **vars(progress)})
    if log == "-":
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    else:
        with Path(log).open("a") as file:
            file.write(line + "\n")


def outcome(version: Path) -> str:
    """How good the new version is, what answers by default now, and what to do next."""
    from training.store import labels
    from training.store.card import checked_card

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
