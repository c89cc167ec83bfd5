"""Files that are there whole or not at all, also after a power cut (write, sync, rename). Knows no tables."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_bytes(path: Path, body: bytes) -> None:
    """Put a file there, in place of another. Raises OSError, and leaves nothing behind then."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        sync_folder(path.parent)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def write_json(path: Path, facts: Mapping[str, Any], indent: int | None = None) -> None:
    """The same for an object of JSON."""
    write_bytes(path, json.dumps(facts, indent=indent).encode() + b"\n")


def sync_folder(folder: Path) -> None:
    """Have the names of files in a folder outlast a power cut."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
