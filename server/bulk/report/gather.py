"""Reads all rows of a run once, file after file, and keeps of them what the page tells: sums, counts, and a few rows.

What is kept does not grow with the number of rows: some 130 MB at most, and for ten classes of 28 x 28 pixels 35 MB.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from server.bulk.errors import RunError
from server.bulk.report.k_smallest import KSmallest, scrambled
from server.bulk.run import FORMAT, MANIFEST, Run, files_of, manifest_of
from server.bulk.worker import RunSpec
from server.rollout.drift import PictureCounts, bin_of
from server.rollout.evidence import cell_shares
from server.types import REFERENCE_CELLS, Array, Unit

COLUMNS = [
    "row", "name", "class", "label", "probabilities", "in_distribution", "energy", "pixels", "explained",
    "target", "values", "unit", "alt", "code", "error",
]  # fmt: skip
BATCH = 1024  # rows that are in memory at once
SAMPLE, SAMPLE_BYTES = 500, 128 << 20  # maps of a class that clusters are looked for in, and of all classes together
SHOWN = 24  # pictures in doubt, and as many that are least like the training data
NAMED = 3  # pictures with the same error


@dataclass(frozen=True)
class Case:
    """One picture with its map."""

    row: int
    name: str
    index: int  # class
    label: str
    probabilities: Array  # (K,)
    energy: float
    familiar: bool
    pixels: Array  # (H, W) float32
    values: Array | None  # (H, W) float32; None where it is not explained
    target: str | None
    alt: str | None


@dataclass
class Failed:
    """Pictures with the same error code."""

    first: str  # what the first of them says
    names: list[str] = field(default_factory=list)
    count: int = 0


class Gathered:
    """What is kept of the rows of K classes, with images (H, W) (accumulator)."""

    def __init__(self, classes: int, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.rows = self.explained = 0
        self.odd = 0  # maps with numbers that are not finite, as 16 bits may hold; they are left out
        self.failed: dict[str, Failed] = {}
        self.counts = PictureCounts.none(classes)
        self.pixels = np.zeros((classes, *shape))  # sums of the pictures read as each class
        self.maps = np.zeros((classes, *shape))  # and of their maps
        self.mapped = np.zeros(classes, int)  # how many maps
        self.cells = np.zeros(REFERENCE_CELLS**2)  # sums of shares of evidence
        self.labels: dict[int, str] = {}
        self.targets: dict[int, str] = {}  # what the maps of a class are about
        self.unit: Unit | None = None
        self.least = 0.0  # the lowest value of any map
        self.threshold = -np.inf, np.inf  # energies that the version's threshold lies between
        each = SAMPLE_BYTES // (8 * classes * shape[0] * shape[1])
        self.sample_size = max(1, min(SAMPLE, each))
        self.samples: list[KSmallest[Case]] = [KSmallest(self.sample_size) for _ in range(classes)]
        self.doubtful, self.strange = KSmallest[Case](SHOWN), KSmallest[Case](SHOWN)

    @property
    def read(self) -> int:
        """Pictures that have a class."""
        return int(self.counts.classes.sum())

    @property
    def errors(self) -> int:
        return sum(one.count for one in self.failed.values())

    def add(self, table: pa.Table) -> None:
        """Rows of a file."""
        self.rows += table.num_rows
        self._add_errors(table)
        block = Block.of(table.filter(table["class"].is_valid()), self.shape)
        if len(block.index):
            self._count(block)
            self._sum(block)
            self._keep(block)

    def _add_errors(self, table: pa.Table) -> None:
        failed = table.filter(table["code"].is_valid())
        columns = (failed[name].to_pylist() for name in ("code", "error", "name"))
        for code, error, name in zip(*columns, strict=True):
            found = self.failed.setdefault(code, Failed(error or ""))
            found.count += 1
            if len(found.names) < NAMED:
                found.names.append(name or "")

    def _count(self, block: "Block") -> None:
        highest = block.probabilities.max(axis=1)
        self.counts.add(block.index, bin_of(highest), (~block.familiar).astype(int))
        below, above = self.threshold
        self.threshold = (
            float(block.energy[~block.familiar].max(initial=below)),
            float(block.energy[block.familiar].min(initial=above)),
        )
        for index in set(np.unique(block.index).tolist()) - set(self.labels):
            self.labels[index] = block.text("label", int(np.argmax(block.index == index))) or str(index)

    def _sum(self, block: "Block") -> None:
        """Add pictures and maps to the sums of their classes, in float64."""
        self.explained += int(block.explained.sum())
        self.odd += int((block.explained & ~block.usable).sum())
        of_class = np.arange(len(self.mapped))[:, None] == block.index  # (K, n)
        with_map = of_class & block.usable
        self.pixels += np.tensordot(of_class.astype(float), block.pixels.astype(float), 1)
        self.maps += np.tensordot(with_map.astype(float), block.values.astype(float), 1)
        self.mapped += with_map.sum(axis=1)
        self.cells += cell_shares(block.values[block.usable]).sum(axis=0).ravel()
        self.least = min(self.least, float(block.values.min()))
        for index in set(np.unique(block.index[block.usable]).tolist()) - set(self.targets):
            first = int(np.argmax(block.usable & (block.index == index)))
            self.targets[index] = block.text("target", first) or ""
            self.unit = self.unit or cast("Unit | None", block.text("unit", first))  # a run has one of them

    def _keep(self, block: "Block") -> None:
        """Rows that are shown, or clustered."""
        second, first = np.partition(block.probabilities, -2, axis=1)[:, -2:].T
        self.doubtful.add(first - second, block.rows, block.case)
        self.strange.add(block.energy, block.rows, block.case)
        keys = scrambled(block.rows)
        for index, sample in enumerate(self.samples):
            sample.add(np.where(block.usable & (block.index == index), keys, np.inf), block.rows, block.case)


@dataclass(frozen=True)
class Block:
    """Pictures that have a class, as arrays."""

    table: pa.Table
    rows: Array  # (n,) numbers in the source
    index: Array  # (n,) classes
    probabilities: Array  # (n, K)
    energy: Array  # (n,)
    familiar: Array  # (n,) bool
    pixels: Array  # (n, H, W)
    explained: Array  # (n,) bool
    values: Array  # (n, H, W), 0 where there is no map that can be used
    usable: Array  # (n,) bool

    @staticmethod
    def of(table: pa.Table, shape: tuple[int, int]) -> "Block":
        values = _matrix(table["values"]).astype(np.float32)
        explained = np.array(table["explained"].fill_null(False).to_pylist(), bool)
        usable = explained & np.isfinite(values).all(axis=1)
        return Block(
            table,
            table["row"].to_numpy(),
            table["class"].to_numpy(),
            _matrix(table["probabilities"]),
            table["energy"].to_numpy(),
            np.array(table["in_distribution"].to_pylist(), bool),
            _matrix(table["pixels"]).astype(np.float32).reshape(-1, *shape),
            explained,
            np.where(usable[:, None], values, 0).reshape(-1, *shape),
            usable,
        )

    def text(self, column: str, at: int) -> str | None:
        found: str | None = self.table[column][int(at)].as_py()
        return found

    def case(self, at: int) -> Case:
        """One of them, which holds nothing of the others."""
        return Case(
            int(self.rows[at]),
            self.text("name", at) or "",
            int(self.index[at]),
            self.text("label", at) or "",
            self.probabilities[at].copy(),
            float(self.energy[at]),
            bool(self.familiar[at]),
            self.pixels[at].copy(),
            self.values[at].copy() if self.usable[at] else None,
            self.text("target", at),
            self.text("alt", at),
        )


def _matrix(column: Any) -> Array:
    """A column of lists of one size as (n, size); zeros where there is none."""
    found = np.zeros((len(column), column.type.list_size), column.type.value_type.to_pandas_dtype())
    there = column.is_valid().to_numpy()
    found[there] = (
        column.drop_null().combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, found.shape[1])
    )
    return found


def run_in(out: Path) -> tuple[Run, Mapping[str, Any]]:
    """The run whose results lie in a folder, and what its manifest says. Raises RunError: there is none."""
    if not out.is_dir():
        raise RunError(f"{out} is not a folder; give the one that explain-many has written its results to")
    try:
        manifest = manifest_of(out)
    except RunError as error:
        raise RunError(f"{out / MANIFEST} cannot be read; is {out} where explain-many has written to?") from error
    if manifest is None or manifest.get("format") != FORMAT:
        has = "no" if manifest is None else f"format {manifest.get('format')!r:.20} in its"
        raise RunError(f"{out} has {has} {MANIFEST}; give the folder that explain-many has written its results to")
    return Run(out, RunSpec(**manifest["spec"])), manifest


def gather(run: Run, shape: tuple[int, int] | None) -> tuple[Gathered, int]:
    """What the rows say that are there, and in how many files they lie; `shape` of images where it is known.

    Raises:
        RunError: none is there yet, or a file is damaged.
    """
    found: Gathered | None = None
    files = _files(run)
    for path in files:
        try:
            for table in _tables(path):
                found = found or Gathered(table.schema.field("probabilities").type.list_size, _shape(table, shape))
                found.add(table)
        except (OSError, pa.ArrowException, KeyError) as error:
            raise _damaged(path, run) from error
    if found is None:
        raise RunError(f"nothing is done yet in {run.out}; begin again when explain-many has written its first rows")
    return found, len(files)


def _files(run: Run) -> list[Path]:
    """Those of the run that are there. Raises RunError: one is damaged."""
    found = list(files_of(run.out))
    for path in found:
        number = path.stem.removeprefix("part-")
        if not number.isdecimal() or run.counts_of(int(number)) is None:
            raise _damaged(path, run)
    return found


def _damaged(path: Path, run: Run) -> RunError:
    return RunError(f"{path} is damaged, or of another run; the same explain-many makes it anew, after it is removed")


def _tables(path: Path) -> Iterator[pa.Table]:
    # without pre_buffer, which would read a file that is one group of rows as a whole
    with parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as opened:
        for batch in opened.iter_batches(BATCH, columns=COLUMNS):
            yield pa.Table.from_batches([batch])


def _shape(table: pa.Table, known: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width of the images: rows say only how many pixels there are. Raises RunError: they are no square."""
    size = table.schema.field("pixels").type.list_size
    if known is not None and known[0] * known[1] == size:
        return known
    side = round(size**0.5)
    if side * side != size:
        raise RunError(
            f"the pictures have {size} pixels, which are no square; INKLING_MODEL_STORE must have the version"
        )
    return side, side
