"""`python -m server config`: prints all settings, and where each comes from."""

import json
from dataclasses import asdict

import click

from server.config import Settings, SettingsError, shown_settings
from server.process.preflight import check, count_workers


def show_config(as_json: bool) -> None:
    """Print every setting, as JSON or as lines with what they are for.

    Raises:
        ClickException: the server would not start with these.
    """
    try:
        settings = Settings.from_env()
        check(settings, count_workers(settings))
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    rows = shown_settings(settings)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    lines = [(row.variable, "" if row.value is None else str(row.value), row.source) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    for line, row in zip(lines, rows, strict=True):
        click.echo("  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=True)), row.about]))
