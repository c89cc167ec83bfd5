"""`python -m server explain-many`: predictions and explanations of many pictures, as tables in a folder."""

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from server.bulk.errors import BulkError, RunError
from server.bulk.plan import plan_run, run_spec
from server.bulk.processes import Stopped, run_shards
from server.bulk.run import RowCounts, Run, is_complete, manifest_of
from server.bulk.worker import RunSpec
from server.config import Settings, SettingsError
from server.errors import ServiceError
from server.models.model_loaders import available_cores
from server.process.preflight import prefers_tensorflow, read_trust

GO_ON = "the same command goes on where it stopped"


def options_of(method: str, given: Sequence[str], named: Mapping[str, str | None]) -> dict[str, str]:
    """The options of an explanation as a query has them. Raises ClickException."""
    options = {"method": method, **{name: value for name, value in named.items() if value is not None}}
    for text in given:
        name, found, value = text.partition("=")
        if not found or not name:
            raise click.ClickException(f"--option {text!r}; expected NAME=VALUE, such as grid=7")
        options[name] = value
    return options


def explain_many(
    source: str,
    out: Path,
    engine: str,
    workers: int | None,
    stall_seconds: float,
    model: str | None,
    version: str | None,
    options: Mapping[str, str],
    **how: object,
) -> None:
    """Do the run, and say on standard output what came out. Raises ClickException."""
    try:
        settings = Settings.from_env()
        trust = None if settings.trust is None else read_trust(settings.trust)
        wanted = run_spec(source, model or settings.model, version, options, settings.max_body_bytes, **how)  # type: ignore[arg-type]
        _check_apart(source, out)
        there = manifest_of(out)
        resumed = None if there is None else RunSpec(**there["spec"])
        spec = plan_run(wanted, settings.model_store, trust, resumed=resumed)
        run = Run(out, spec)
        with run.locked():
            run = Run.begin_or_resume(out, spec)
            total, seconds = _run(run, settings, engine, workers or available_cores(), stall_seconds)
    except (BulkError, ServiceError, SettingsError) as error:
        raise click.ClickException(str(error)) from error
    except Stopped:
        click.echo(f"stopped; {GO_ON}", err=True)
        sys.exit(130)
    errors = f", {total.errors} with an error" if total.errors else ""
    click.echo(
        f"{out}: {total.rows} pictures read by {spec.model}/{spec.version}, {total.explained} explained{errors}; "
        f"{seconds:.1f} s"
    )
    if total.errors == total.rows:
        raise click.ClickException("no picture could be read; the column error in the results says why")


def _check_apart(source: str, out: Path) -> None:
    """Raises RunError where results would come among the pictures."""
    if "://" not in source and out.resolve().is_relative_to(Path(source).resolve()):
        raise RunError(f"{out} lies in {source}, among the pictures; give a folder elsewhere")


def _run(run: Run, settings: Settings, engine: str, workers: int, stall_seconds: float) -> tuple[RowCounts, float]:
    """Do what is missing, with a bar."""
    done, began = run.done(), time.monotonic()
    left = run.missing(verify=True)
    with (
        _stopping() as should_stop,
        click.progressbar(length=run.spec.rows, label="explaining", file=sys.stderr) as bar,
    ):
        bar.update(run.spec.rows - sum(len(run.spec.rows_of(shard)) for shard in left))
        for _, counts in _shards(run, settings, engine, workers, stall_seconds, should_stop) if left else ():
            bar.update(counts.rows)
    seconds = time.monotonic() - began
    return (run.finish(seconds) if left or not is_complete(run.out) else done), seconds


def _shards(
    run: Run, settings: Settings, engine: str, workers: int, stall_seconds: float, should_stop: Callable[[], bool]
) -> Iterator[tuple[int, RowCounts]]:
    device = "gpu" if prefers_tensorflow(settings) else "cpu"
    if engine == "processes":
        return run_shards(run, settings.model_store, workers, device, should_stop)
    from server.bulk.on_ray import run_shards_on_ray

    return run_shards_on_ray(run, settings.model_store.resolve(), workers, device, stall_seconds, should_stop)


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Whether the process was told to end, by Ctrl-C or SIGTERM; a second Ctrl-C ends it at once."""
    told: list[int] = []

    def tell(number: int, frame: object) -> None:
        told.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, tell) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(told)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
