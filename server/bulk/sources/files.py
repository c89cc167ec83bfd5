"""Folders and files with pictures, here or in an object store (adapters): what lies there, and its bytes."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, cast

from server.bulk.errors import SourceError
from server.process.preflight import SOURCES

LEFT_BEHIND = ("Thumbs.db", "desktop.ini")  # by systems


class File(NamedTuple):
    """A file below a folder: its name, with / between folders, its bytes, and what changes with its content."""

    name: str
    size: int
    stamp: str = ""


class Files(Protocol):
    """One place: a single file, or a folder."""

    @property
    def is_folder(self) -> bool: ...

    def listed(self) -> list[File]:
        """All files below a folder by their names; the file itself, under its own name, where it is one."""
        ...

    def open(self, name: str) -> BinaryIO:
        """One of the files that are listed, for reading anywhere in it."""
        ...


def files_at(address: str) -> Files:
    """The files at a path, or at an address such as s3://BUCKET/FOLDER.

    Raises:
        SourceError: nothing is there, or what reads such addresses is not installed.
    """
    if "://" not in address:
        return LocalFiles(Path(address))
    return RemoteFiles(address)


def is_hidden(name: str) -> bool:
    """Whether a file is one that systems leave behind: its name, or that of a folder above it, says so."""
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    return any(part.startswith(".") or part == "__MACOSX" for part in parts) or parts[-1] in LEFT_BEHIND


@dataclass(frozen=True)
class LocalFiles:
    """A file or folder of this machine."""

    path: Path

    def __post_init__(self) -> None:
        if not (self.path.is_file() or self.path.is_dir()):
            raise SourceError(f"{self.path} is not there; give a folder, zip, npz, npy or Parquet file of pictures")

    @property
    def is_folder(self) -> bool:
        return self.path.is_dir()

    def listed(self) -> list[File]:
        if not self.is_folder:
            return [File(self.path.name, self.path.stat().st_size)]
        return sorted(self._below())

    def _below(self) -> Iterator[File]:
        for where, folders, names in os.walk(self.path):
            folders[:] = [one for one in folders if not is_hidden(one)]
            for name in names:
                path = Path(where, name)
                if not is_hidden(name) and path.is_file():
                    yield File(path.relative_to(self.path).as_posix(), path.stat().st_size)

    def open(self, name: str) -> BinaryIO:
        return (self.path / name if self.is_folder else self.path).open("rb")


@dataclass(frozen=True)
class RemoteFiles:
    """A file or folder at an address that fsspec knows."""

    address: str

    @cached_property
    def _place(self) -> tuple[Any, str]:
        """The file system, and the path there."""
        scheme = self.address.partition("://")[0]
        try:
            import fsspec

            return cast("tuple[Any, str]", fsspec.core.url_to_fs(self.address))
        except ImportError as error:
            needed = SOURCES.get(scheme, "fsspec")
            raise SourceError(f"{scheme}://... needs the package {needed}; `pip install {needed}`") from error
        except ValueError as error:
            raise SourceError(f"{scheme}://... is of no kind that fsspec knows; expected s3, gs, ...") from error

    @cached_property
    def _found(self) -> list[File]:
        system, path = self._place
        try:
            is_file = system.isfile(path)
            found = {path: system.info(path)} if is_file else system.find(path, detail=True)
        except Exception as error:  # a store's client may raise anything
            raise SourceError(f"{self.address} cannot be listed ({type(error).__name__})") from error
        if not found:
            raise SourceError(f"nothing is at {self.address}; give a folder, zip, npz, npy or Parquet file of pictures")
        facts = sorted(found.items())
        return [File(_below(name, path), told.get("size") or 0, str(told.get("ETag", ""))) for name, told in facts]

    @property
    def is_folder(self) -> bool:
        return self._found[0].name != ""

    def listed(self) -> list[File]:
        if not self.is_folder:
            return [self._found[0]._replace(name=self._place[1].rpartition("/")[2])]
        return [one for one in self._found if not is_hidden(one.name)]

    def open(self, name: str) -> BinaryIO:
        system, path = self._place
        return cast(BinaryIO, system.open(f"{path.rstrip('/')}/{name}" if self.is_folder else path, "rb"))


def _below(name: str, folder: str) -> str:
    """The name of what lies below a folder; "" for the folder itself, which is a file then."""
    return name.removeprefix(folder.rstrip("/")).lstrip("/")
