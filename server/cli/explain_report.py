"""`python -m server explain-report`: what all explanations of a run say, as one page of HTML."""

from pathlib import Path

import click

from server.bulk.errors import BulkError
from server.bulk.report.report import report, write
from server.config import Settings, SettingsError
from server.errors import ServiceError
from server.process.preflight import read_trust

FILE = "report.html"


def explain_report(out: Path, to: Path | None) -> None:
    """Write the page, and say on standard output where it is. Raises ClickException."""
    path = to or out / FILE
    try:
        settings = Settings.from_env()
        trust = None if settings.trust is None else read_trust(settings.trust)
        page, summary = report(out, settings.model_store, trust)
        write(page, path)
    except (BulkError, ServiceError, SettingsError) as error:
        raise click.ClickException(str(error)) from error
    found, spec = summary.gathered, summary.spec
    missing = "" if summary.whole else f", of {spec.rows} that were ordered"
    click.echo(f"{path}: {found.rows} pictures{missing}, {found.explained} explained, {found.errors} with an error")
