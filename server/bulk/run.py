"""One bulk run: what was ordered, where its results lie, and which of them are there already.

OUT/manifest.json says what was ordered, from the beginning, and in the end what came out. OUT/data/ has a Parquet file
for each shard. A file comes there whole or not at all, under the name of its shard: a run that is killed loses no row
and doubles none.
"""

import fcntl
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from server import __version__
from server.bulk.durable import write_bytes, write_json
from server.bulk.errors import DiskFull, RunError
from server.bulk.rows import counted
from server.bulk.worker import RunSpec

FORMAT = 1
MANIFEST, DATA, LOCK = "manifest.json", "data", ".lock"
PARTS = ".*.part"  # of files whose writing broke off
COUNTS = b"inkling.counts"  # in the metadata of a file
SPEC = b"inkling.spec"


@dataclass(frozen=True)
class RowCounts:
    """Of rows that are done."""

    rows: int = 0
    explained: int = 0
    errors: int = 0

    def __add__(self, other: "RowCounts") -> "RowCounts":
        return RowCounts(self.rows + other.rows, self.explained + other.explained, self.errors + other.errors)


class Run:
    """An order and its folder of results."""

    def __init__(self, out: Path, spec: RunSpec) -> None:
        self.out, self.spec = out, spec
        # where the source lies may change, and how the version is called; what they are may not
        self.identity = hashlib.sha256(replace(spec, source="", requested_version="").to_json().encode()).hexdigest()

    @staticmethod
    def begin_or_resume(out: Path, spec: RunSpec) -> "Run":
        """A new run, or the one that was begun in this folder with the same order.

        Raises:
            RunError: something else is there.
        """
        run = Run(out, spec)
        there = manifest_of(out)
        if there is None:
            if _has_something_else(out):
                raise RunError(f"{out} is not empty and has no {MANIFEST}; give a new folder for results")
            (out / DATA).mkdir(parents=True, exist_ok=True)
            run._write_manifest({"complete": False})
        elif differing := run._differing(there):
            raise RunError(f"{out} holds another run ({differing}); give a new folder for results, or the same order")
        for left in [*out.glob(PARTS), *(out / DATA).glob(PARTS)]:
            left.unlink(missing_ok=True)
        return run

    def _differing(self, there: Mapping[str, Any]) -> str:
        """What in a manifest is not as it is ordered, in words; "" where all is."""
        if there.get("format") != FORMAT:
            return f"its {MANIFEST} has format {there.get('format')}"
        wanted, found = (replace(one, source="", requested_version="") for one in (self.spec, RunSpec(**there["spec"])))
        names = [name for name, value in asdict(wanted).items() if asdict(found)[name] != value]
        return "" if not names else "another " + ", ".join(names).replace("_", " ")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else works on this folder meanwhile. Raises RunError: somebody does."""
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            lock = (self.out / LOCK).open("w")
        except OSError as error:
            raise RunError(f"{self.out} cannot be written ({error.strerror}); give a folder for results") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RunError(f"another process works on {self.out}; wait for it, or end it") from error
            yield

    def missing(self, verify: bool = False) -> list[int]:
        """The shards that are still to be done; with `verify`, those among them whose files do not fit their checksums,
        for which all are read."""
        shards = range(self.spec.shards)
        return [one for one in shards if self.counts_of(one) is None or (verify and not self._is_sound(one))]

    def _is_sound(self, shard: int) -> bool:
        try:
            parquet.read_table(self._path(shard), page_checksum_verification=True)
        except (OSError, pa.ArrowException):
            return False
        return True

    def counts_of(self, shard: int) -> RowCounts | None:
        """Of a shard that is done; None where it is not, or its file is damaged."""
        path = self._path(shard)
        try:
            metadata = parquet.read_schema(path).metadata
            counts = RowCounts(**json.loads(metadata[COUNTS]))
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
            return None
        whole = metadata.get(SPEC) == self.identity.encode() and counts.rows == len(self.spec.rows_of(shard))
        return counts if whole else None

    def write_file(self, shard: int, body: bytes) -> RowCounts:
        """Put the rows of a shard, as `encoded` makes them, into the folder, all at once."""
        path = self._path(shard)
        with _with_room(path):
            write_bytes(path, body)
        counts = self.counts_of(shard)
        assert counts is not None  # it was just written
        return counts

    def done(self) -> RowCounts:
        """Of all shards that are there."""
        found = (self.counts_of(shard) for shard in range(self.spec.shards))
        return sum((one for one in found if one is not None), RowCounts())

    def finish(self, seconds: float) -> RowCounts:
        """Say in the manifest that the run is whole. Raises RunError: it is not."""
        if missing := self.missing():
            raise RunError(
                f"{len(missing)} of {self.spec.shards} shards are missing in {self.out}; begin again: it goes on"
            )
        total = self.done()
        files = [
            {"path": f"{DATA}/{path.name}", "bytes": path.stat().st_size, "sha256": _sha256(path)}
            for path in map(self._path, range(self.spec.shards))
        ]
        codes = self._codes()
        self._write_manifest(
            {"complete": True, **asdict(total), "codes": codes, "seconds": round(seconds, 3), "files": files}
        )
        return total

    def _codes(self) -> dict[str, int]:
        """How often each error came."""
        found: dict[str, int] = {}
        for shard in range(self.spec.shards):
            for code in parquet.read_table(self._path(shard), columns=["code"])["code"].to_pylist():
                if code is not None:
                    found[code] = found.get(code, 0) + 1
        return dict(sorted(found.items()))

    def _path(self, shard: int) -> Path:
        return self.out / DATA / f"part-{shard:06d}.parquet"

    def _write_manifest(self, state: Mapping[str, Any]) -> None:
        facts = {"format": FORMAT, "inkling": __version__, "spec": asdict(self.spec), **state}
        with _with_room(self.out / MANIFEST):
            write_json(self.out / MANIFEST, facts, indent=1)


@contextmanager
def _with_room(path: Path) -> Iterator[None]:
    """Raises DiskFull where this file cannot be written."""
    try:
        yield
    except OSError as error:
        why = f"{path} cannot be written ({error.strerror}); make room, and begin again: it goes on"
        raise DiskFull(why) from error


def _has_something_else(out: Path) -> bool:
    """Whether a folder without a manifest has more than a run leaves that was killed as it began."""
    mine = (*out.glob(PARTS), *(out / name for name in (LOCK, DATA)), *(out / DATA).glob(PARTS))
    return out.is_dir() and any(one not in mine for one in (*out.iterdir(), *(out / DATA).glob("*")))


def encoded(table: pa.Table, identity: str) -> bytes:
    """A Parquet file of a shard's rows, which says of which run it is."""
    about = {COUNTS: json.dumps(counted(table)).encode(), SPEC: identity.encode()}
    sink = pa.BufferOutputStream()
    parquet.write_table(table.replace_schema_metadata(about), sink, compression="zstd", write_page_checksum=True)
    return bytes(sink.getvalue())


def manifest_of(out: Path) -> dict[str, Any] | None:
    """What the manifest of a run says; None where there is none.

    Raises:
        RunError: it cannot be read.
    """
    try:
        found: dict[str, Any] = json.loads((out / MANIFEST).read_text())
        RunSpec(**found["spec"])
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise RunError(f"{out} is a file; give a folder for results") from error
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise RunError(f"{out / MANIFEST} cannot be read; give a new folder for results") from error
    return found


def is_complete(out: Path) -> bool:
    """Whether the manifest says that the run is whole."""
    there = manifest_of(out)
    return there is not None and bool(there.get("complete"))


def files_of(out: Path) -> Collection[Path]:
    """The Parquet files of a run, in the order of its rows."""
    return sorted((out / DATA).glob("part-*.parquet"))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
