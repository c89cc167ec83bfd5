"""A model store elsewhere (fsspec): s3://bucket/folder, gs://..., file:///..., or https://... with an index.

Objects are created once and never changed: `create` is a conditional put, so that of two writers one is told that the
other was first. Knows nothing of versions. Imported only where an address is given.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fsspec.core import url_to_fs

ADDRESS = re.compile(r"file:///.+|(?!file:)[a-z][a-z0-9+.-]*://[^/\s].*")
CREDENTIALS = re.compile(r"://[^/@\s]*@")
ASIDE = ".written-"  # how files begin that are not whole yet
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
    """The objects under an address, by their paths there. Whatever its client raises is an OSError here, whose text has
    no credentials.

    Raises (on creation):
        ValueError: it is no address of a store.
    """

    def __init__(self, address: str) -> None:
        if not ADDRESS.fullmatch(address):
            raise ValueError(
                f"got the address {masked(address)[:200]!r}; expected such as s3://BUCKET/FOLDER or file:///FOLDER"
            )
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
            return _index(self.read(INDEX, MOST_INDEX))
        with self._as_os_error():
            self._fs.invalidate_cache()
            found = self._fs.find(self._root, detail=True)
        start = len(self._root) + 1
        paths = {name[start:]: _tag(facts) for name, facts in found.items()}
        return {path: tag for path, tag in paths.items() if not path.startswith(ASIDE)}

    def read(self, path: str, most: int) -> bytes:
        """The bytes of an object. Raises FileNotFoundError, OSError; ValueError where there are more than `most`."""
        with self._as_os_error(path):
            found = bytes(self._fs.cat_file(f"{self._root}/{path}", end=most + 1))
        if len(found) > most:
            raise ValueError(f"{path} has more than {most} bytes")
        return found

    def download(self, path: str, target: str) -> None:
        """Write an object into a file. Raises FileNotFoundError, OSError."""
        with self._as_os_error(path):
            self._fs.get_file(f"{self._root}/{path}", target)

    def create(self, path: str, content: bytes) -> None:
        """Write an object that must not be there yet.

        Raises:
            AlreadyThere: it is; the other content stays.
            OSError: it cannot be written.
        """
        with self._as_os_error():
            where = f"{self._root}/{path}"
            try:
                if self._is_local:
                    _create_file(Path(where), content, Path(self._root))
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
        while written != (found := self._indexed()):
            content = json.dumps({"format": INDEX_FORMAT, "objects": found}, indent=1).encode()
            with self._as_os_error():
                where = f"{self._root}/{INDEX}"
                if self._is_local:
                    _aside(Path(self._root), content).replace(where)
                else:
                    self._fs.pipe_file(where, content)
            written = found

    def _indexed(self) -> dict[str, str]:
        return {path: tag for path, tag in self.listing().items() if path != INDEX}

    @contextmanager
    def _as_os_error(self, path: str = "") -> Iterator[None]:
        """Clients of object stores have exceptions of their own, whose texts may have the address."""
        try:
            yield
        except AlreadyThere:
            raise
        except FileNotFoundError:
            raise FileNotFoundError(f"{path or 'the store'} is not there") from None
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            raise OSError(masked(f"{self.address}: {type(error).__name__}: {text}")) from None

    @property
    def _is_local(self) -> bool:
        """Whether objects are files, which others see while they are written, unless they are written aside."""
        return "file" in self._fs.protocol


def _create_file(path: Path, content: bytes, root: Path) -> None:
    """Whole or not at all. Raises FileExistsError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(root, content)
    try:
        os.link(aside, path)
    finally:
        aside.unlink()


def _aside(root: Path, content: bytes) -> Path:
    """A file with this content that belongs to no version."""
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=root, prefix=ASIDE, delete=False) as file:
        file.write(content)
    os.chmod(file.name, 0o644)
    return Path(file.name)


def masked(address: str) -> str:
    """An address, or a text with some, without user names and passwords."""
    return CREDENTIALS.sub("://", address)


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
