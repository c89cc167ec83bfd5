"""A model store elsewhere (fsspec): s3://bucket/folder, gs://..., file:///..., or https://... with an index.

Objects are created once and never changed: `create` is a conditional put, so that of two writers one is told that the
other was first. Knows nothing of versions. Imported only where an address is given.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fsspec.core import url_to_fs

INDEX = "index.json"  # at the root: what https:// cannot list
INDEX_FORMAT = 1
MOST_INDEX = 16 << 20  # bytes
TAGS = ("ETag", "etag", "md5Hash", "mtime", "LastModified")  # what the kinds of stores say of an object's content
WEB = ("http", "https")
OPTIONS: dict[str, dict[str, Any]] = {  # by scheme; credentials come from the environment, as each client reads them
    "s3": {
        "use_listings_cache": False,
        "config_kwargs": {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 2, "mode": "standard"}},
    },
    "gs": {"use_listings_cache": False},
    "http": {"use_listings_cache": False},
    "https": {"use_listings_cache": False},
}


class AlreadyThere(Exception):
    """The object exists: another writer was first."""


class ObjectStore:
    """The objects under an address, by their paths there. Whatever its client raises is an OSError here."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self.is_web = urlsplit(address).scheme in WEB

    @cached_property
    def _connected(self) -> tuple[Any, str]:
        """The file system and the root there, at the first use: what S3 needs takes a second and 40 MB to import."""
        fs, root = url_to_fs(self.address, **OPTIONS.get(urlsplit(self.address).scheme, {}))
        return fs, root.rstrip("/")

    @property
    def _fs(self) -> Any:
        return self._connected[0]

    @property
    def _root(self) -> str:
        return str(self._connected[1])

    def listing(self) -> dict[str, str]:
        """The paths of all objects, with tags that change when an object does. Raises OSError, ValueError."""
        if self.is_web:
            return _index(self.read(INDEX))
        with _as_os_error(self.address):
            self._fs.invalidate_cache()
            found = self._fs.find(self._root, detail=True)
        start = len(self._root) + 1
        return {name[start:]: _tag(facts) for name, facts in found.items()}

    def read(self, path: str) -> bytes:
        """The bytes of an object. Raises FileNotFoundError, OSError."""
        with _as_os_error(self.address):
            return bytes(self._fs.cat_file(f"{self._root}/{path}"))

    def download(self, path: str, target: str) -> None:
        """Write an object into a file. Raises as `read` does."""
        with _as_os_error(self.address):
            self._fs.get_file(f"{self._root}/{path}", target)

    def create(self, path: str, content: bytes) -> None:
        """Write an object that must not be there yet.

        Raises:
            AlreadyThere: it is; the other content stays.
            OSError: it cannot be written.
        """
        with _as_os_error(self.address):
            where = f"{self._root}/{path}"
            try:
                if self._is_local:
                    _create_file(Path(where), content)
                else:
                    self._fs.pipe_file(where, content, mode="create")
            except FileExistsError as error:
                raise AlreadyThere(path) from error
            except OSError as error:  # S3 says a failed condition as errno 22
                if self._fs.exists(where):
                    raise AlreadyThere(path) from error
                raise

    def write_index(self) -> None:
        """Write the listing to where https:// finds it. Writers that come at the same time end with the whole listing:
        each looks again after it has written, and the last one has seen all."""
        written = None
        while written != (found := {path: tag for path, tag in self.listing().items() if path != INDEX}):
            content = json.dumps({"format": INDEX_FORMAT, "objects": found}, indent=1).encode()
            with _as_os_error(self.address):
                where = f"{self._root}/{INDEX}"
                if self._is_local:
                    _replace_file(Path(where), content)
                else:
                    self._fs.pipe_file(where, content)
            written = found

    @property
    def _is_local(self) -> bool:
        """Whether objects are files, which others see while they are written, unless they are written aside."""
        return "file" in self._fs.protocol


def _create_file(path: Path, content: bytes) -> None:
    """Whole or not at all. Raises FileExistsError."""
    aside = _aside(path, content)
    try:
        os.link(aside, path)
    finally:
        aside.unlink()


def _replace_file(path: Path, content: bytes) -> None:
    _aside(path, content).replace(path)


def _aside(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        file.write(content)
    os.chmod(file.name, 0o644)
    return Path(file.name)


@contextmanager
def _as_os_error(address: str) -> Iterator[None]:
    """Clients of object stores have exceptions of their own."""
    try:
        yield
    except (OSError, AlreadyThere):
        raise
    except Exception as error:
        text = f"{address}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise OSError(text) from error


def _tag(facts: dict[str, Any]) -> str:
    tag = next((facts[name] for name in TAGS if facts.get(name) is not None), "")
    return f"{facts.get('size')} {tag}".strip()


def _index(content: bytes) -> dict[str, str]:
    if len(content) > MOST_INDEX:
        raise ValueError(f"{INDEX} has {len(content)} bytes; expected at most {MOST_INDEX}")
    stored = json.loads(content)
    if not isinstance(stored, dict) or stored.get("format") != INDEX_FORMAT or not isinstance(stored["objects"], dict):
        raise ValueError(f"{INDEX} is no index of a model store; `python -m training push` writes one")
    return {str(path): str(tag) for path, tag in stored["objects"].items()}
