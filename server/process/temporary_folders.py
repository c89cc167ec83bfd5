"""Makes the temporary folders of a server, and removes those of servers that were killed and could not.

A file in each is locked for as long as its server or a worker lives. The system takes the lock from those that die,
also in another container with the same folders, where process ids mean nothing.
"""

import os
import shutil
import tempfile
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from stat import S_ISDIR

LOCK = "server.lock"


def make_folder(prefix: str, parent: str | None = None) -> str:
    """A new folder in `parent`, or in the system's folder for temporary files, that only this user can read. Others
    there with this prefix that nobody has any more are removed."""
    for folder in Path(parent or tempfile.gettempdir()).glob(f"{prefix}*"):
        with suppress(OSError):  # it has no lock, or is locked
            _remove_if_left(folder)
    made = tempfile.mkdtemp(prefix=prefix, dir=parent)
    draft = Path(made, f".{LOCK}")
    lock = os.open(draft, os.O_WRONLY | os.O_CREAT, 0o600)  # closed by the system, when the last process ends
    with suppress(OSError):  # where files cannot be locked, it has none
        flock(lock, LOCK_EX)
        draft.rename(draft.with_name(LOCK))  # nobody ever finds it without its lock
    return made


def _remove_if_left(folder: Path) -> None:
    found = folder.lstat()
    if not S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        return
    lock = os.open(folder / LOCK, os.O_WRONLY)
    try:
        flock(lock, LOCK_EX | LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
