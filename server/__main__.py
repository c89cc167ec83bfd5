"""python -m server: commands for operators. Each command imports what it needs itself, so that --help answers at
once."""

import os
from pathlib import Path

import click


@click.group()
def main() -> None:
    """Look after an Inkling server."""


@main.command()
@click.option("--json", "as_json", is_flag=True, help="As a JSON list.")
def config(as_json: bool) -> None:
    """Show all settings with where they come from; secrets are masked. Fails as the server would on a wrong one."""
    from server.cli.config import show_config

    show_config(as_json)


@main.command()
@click.argument("name")
@click.option("--scopes", default="predict,explain", show_default=True, help="Of predict, explain, admin.")
def key(name: str, scopes: str) -> None:
    """Make an API key: the key itself is shown once, on stderr; its line for INKLING_KEYS_FILE goes to stdout."""
    from server.cli.keys import make_key

    make_key(name, scopes)


@main.command()
@click.argument("store", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--trust",
    envvar="INKLING_TRUST",
    show_envvar=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of public keys: versions and labels have to be signed by one of them.",
)
def verify(store: Path, trust: Path | None) -> None:
    """Check every version in a model store as the server would before it serves it. Fails if any is broken."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from server.cli.verify import findings

    broken = False
    for finding in findings(store, trust):
        click.echo(finding.line)
        broken |= finding.reason is not None
    if broken:
        raise SystemExit(1)


if __name__ == "__main__":
    main(prog_name="python -m server")
