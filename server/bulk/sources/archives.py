"""Pictures as files: in a folder, or in a zip."""

import zipfile
from collections.abc import Sequence
from contextlib import ExitStack

from server.bulk.sources.files import File, Files
from server.bulk.sources.types import DAMAGED, Item, fingerprint_of
from server.errors import DamagedImage, EmptyBody, ImageTooLarge
from server.types import Picture


class FolderSource:
    """A picture in each file below a folder."""

    def __init__(self, files: Files, listed: Sequence[File], max_bytes: int) -> None:
        self._files, self._listed, self._max_bytes = files, listed, max_bytes
        self.fingerprint = fingerprint_of(["folder", *listed])

    def close(self) -> None:
        """Nothing is open between two reads."""

    def __len__(self) -> int:
        return len(self._listed)

    def read(self, row: int) -> Item:
        file = self._listed[row]
        try:
            with self._files.open(file.name) as opened:
                body = opened.read(self._max_bytes + 1)
        except Exception as error:  # of a disk, or of a store's client
            return Item(file.name, None, DamagedImage(f"the file cannot be read ({type(error).__name__})"))
        return item_of(file.name, body, self._max_bytes)


class ZipSource:
    """A picture in each entry of a zip."""

    def __init__(
        self, archive: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo], max_bytes: int, resources: ExitStack
    ) -> None:
        self._archive, self._entries, self._max_bytes = archive, entries, max_bytes
        self.close = resources.close
        self.fingerprint = fingerprint_of(["zip", *([one.filename, one.file_size, one.CRC] for one in entries)])

    def __len__(self) -> int:
        return len(self._entries)

    def read(self, row: int) -> Item:
        entry = self._entries[row]
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack as much as they like
            why = "it is compressed by another method than deflate; make the zip as zip files are made commonly"
            return Item(entry.filename, None, DamagedImage(why))
        try:
            with self._archive.open(entry) as opened:
                body = opened.read(self._max_bytes + 1)
        except DAMAGED as error:
            why = f"it cannot be taken out of the zip ({type(error).__name__}: {str(error)[:200]})"
            return Item(entry.filename, None, DamagedImage(why))
        return item_of(entry.filename, body, self._max_bytes)


def item_of(name: str, body: bytes, max_bytes: int) -> Item:
    if not body:
        return Item(name, None, EmptyBody("the file is empty; expected a picture"))
    if len(body) > max_bytes:
        return Item(name, None, ImageTooLarge(f"the file has more than {max_bytes} bytes; send a smaller picture"))
    return Item(name, Picture(body))
