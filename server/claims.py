"""Who of several processes does something: a file for each thing that is being done, locked by whoever does it.

The kernel lets go of the locks of a process that is killed. What is done is not known here.
"""

import fcntl
import logging
import os
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

Release = Callable[[], None]


class Claims:
    """Claims in `folder`, which the processes share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def claim(self, name: str) -> Release | None:
        """What lets the claim to `name` go; None where another has it.

        Where files can not be locked, everybody has every claim: work is then done twice, which harms nobody.
        """
        path = self._folder / name
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            log.warning("%s can not be opened (%s)", path, error)
            return lambda: None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is(path, descriptor):  # whoever had it has removed it since it was opened
                os.close(descriptor)
                return None
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return None
            log.warning("%s can not be locked (%s)", path, error)
            return lambda: None
        return lambda: _let_go(path, descriptor)


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _let_go(path: Path, descriptor: int) -> None:
    path.unlink(missing_ok=True)  # before it is unlocked: it is still ours
    os.close(descriptor)
