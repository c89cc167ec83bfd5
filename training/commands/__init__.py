"""The commands of `python -m training`, one file each, loaded when asked for. They import TensorFlow inside, so that
--help answers at once.

To add one: a file here whose `command` is a click command, and its name in COMMANDS, in the order of --help.
"""

from importlib import import_module
from typing import Any

import click

from training.errors import TrainingError

COMMANDS = (
    "fit", "tune", "compress", "compare", "evaluate", "convert", "export-c", "label", "push", "pull", "sign",
    "visualise", "reference", "certify", "referee",
)  # fmt: skip
OF_STORES = ("label", "push", "pull", "sign")  # whose files are in store/


class LazyGroup(click.Group):
    """A group whose commands are files of this folder; what users can mend ends one with a line, not a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        folder = "training.commands.store" if cmd_name in OF_STORES else "training.commands"
        command: click.Command = import_module(f"{folder}.{cmd_name.replace('-', '_')}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TrainingError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:  # full disks, files where folders should be
            where = "" if error.filename is None else f": {error.filename}"
            raise click.ClickException(f"{error.strerror or error}{where}") from error


@click.group(cls=LazyGroup)
def main() -> None:
    """Train nets that read digits, and measure them."""
