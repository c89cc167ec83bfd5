"""`python -m server key`: makes a new API key."""

import click

from server.auth.keys import new_key
from server.config import SettingsError


def make_key(name: str, scopes: str) -> None:
    """Print a new key and its line.

    Raises:
        ClickException: not a valid name or scope.
    """
    try:
        secret, key = new_key(name, scopes)
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{secret}  (shown only now; give it to the client)", err=True)
    click.echo(key.line())
