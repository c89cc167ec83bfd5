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


@main.command()
@click.argument("source", metavar="IN")
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--method", default="shapley", show_default=True, help="Of explaining; best = by the version's trial.")
@click.option(
    "--option", "given", multiple=True, metavar="NAME=VALUE", help="Of the method, such as grid=7. Repeatable."
)
@click.option("--model", help="Which net; by default INKLING_MODEL.")
@click.option("--version", help="A number or a label; by default what the server answers with.")
@click.option("--target", help="The class that is explained; by default the predicted one.")
@click.option("--versus", help="Why the target and not this class.")
@click.option("--output", help="logit (the default) or probability.")
@click.option("--seed", help="Of methods that draw; by default 0.")
@click.option("--explain-if", metavar="CONDITION", help="Explain only where it holds, such as probability<0.9.")
@click.option("--preprocess", type=click.Choice(["auto", "none"]), default="auto", show_default=True)
@click.option("--array", help="The array of an npz, or the column of Parquet, that has the pictures.")
@click.option("--float16", is_flag=True, help="Maps and pixels in 16 bits.")
@click.option("--shard-rows", type=click.IntRange(0, 100_000), default=0, help="Rows of a file; 0 = 20 to 500.")
@click.option("--workers", type=click.IntRange(1, 512), help="Processes; by default one for each core.")
@click.option("--engine", type=click.Choice(["processes", "ray"]), default="processes", show_default=True)
@click.option(
    "--stall-seconds",
    type=click.FloatRange(1),
    default=600,
    show_default=True,
    help="With Ray: give up where no shard has come for so long.",
)
def explain_many(
    source: str,
    out: Path,
    method: str,
    given: tuple[str, ...],
    model: str | None,
    version: str | None,
    target: str | None,
    versus: str | None,
    output: str | None,
    seed: str | None,
    workers: int | None,
    engine: str,
    stall_seconds: float,
    **how: object,
) -> None:
    """Read and explain all pictures of IN (a folder, zip, npz, npy, Parquet, or an address such as s3://BUCKET/FOLDER),
    and write Parquet files to OUT/data and what was done to OUT/manifest.json. A run that was stopped goes on."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before any process is started
    from server.cli import explain_many as command

    named = {"target": target, "versus": versus, "output": output, "seed": seed}
    options = command.options_of(method, given, named)
    command.explain_many(source, out, engine, workers, stall_seconds, model, version, options, **how)


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--to", type=click.Path(dir_okay=False, path_type=Path), help="File of the page.", show_default="OUT/report.html"
)
def explain_report(out: Path, to: Path | None) -> None:
    """Write one page of HTML about what explain-many has written to OUT, whole or not yet: means and clusters of maps,
    drift, and the pictures most in doubt."""
    from server.cli import explain_report as command

    command.explain_report(out, to)


if __name__ == "__main__":
    main(prog_name="python -m server")
