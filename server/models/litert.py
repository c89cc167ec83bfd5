"""Makes a Model of a version's LiteRT files: forward, gradient and features without TensorFlow. The only file that
imports ai_edge_litert.

The files were compared with their SavedModel at export; here their hashes and a few answers (checks.py) are enough.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from server.models.interpreters import InterpreterPool
from server.protocols import RequestContext
from server.types import Array, Features, LiteRTFile, ModelCard, Role, Verb

REST_SHARE = 4  # up to 1 / REST_SHARE of a block goes row by row: a block takes the time of five to sixteen rows

Outputs = Mapping[str, Array]
Block = tuple[int, int, int]  # rows of the function, first row of the request, row after its last


class SignatureRunners:
    """An interpreter and its signatures, ready to run; for one thread at a time."""

    def __init__(self, content: bytes) -> None:
        self._interpreter = Interpreter(model_content=content, num_threads=1)
        self._keys = list(self._interpreter.get_signature_list())
        self._runners: dict[str, Any] = {}

    def run(self, name: str, arrays: Mapping[str, Array]) -> Outputs:
        """The outputs of signature `name`, or of the only one: files of format 1 call it otherwise."""
        runner = self._runners.get(name)
        if runner is None:
            key = name if name in self._keys or len(self._keys) != 1 else self._keys[0]
            runner = self._runners[name] = self._interpreter.get_signature_runner(key)
        outputs: Outputs = runner(**arrays)
        return outputs


@dataclass(frozen=True, eq=False)
class Source:
    """A LiteRT file's content, and the pool that its interpreters come from. The file is read once: while its version
    is served, it may be replaced or removed."""

    file: LiteRTFile
    content: bytes
    pool: InterpreterPool
    size: int  # of an interpreter, in the pool's unit

    def lend(self) -> AbstractContextManager[SignatureRunners]:
        return self.pool.lend(self, self.size, lambda: SignatureRunners(self.content))


OnBatch = Callable[[int], None]


def _do_nothing() -> None: ...


def _ignore(rows: int) -> None: ...


@dataclass(frozen=True, eq=False)
class LiteRTModel:
    """Runs the functions in `sources`, named by their signature: the verb and the number of rows.

    Rows go in blocks: full blocks for the largest function first, then the rest, row by row where it is small, else in
    one padded block. So which function computes a row depends on the request alone. The calling thread runs the blocks,
    together with one of `helpers` while a core is idle.
    """

    card: ModelCard
    sources: Mapping[str, Source]
    helpers: Executor | None = None
    cores: int = 1  # that interpreters may compute on at once
    before_block: Callable[[], None] = _do_nothing  # called before each block; raises when the request is cancelled
    on_batch: OnBatch = _ignore  # called with the rows of each call
    background_logits: dict[str, Array] = field(
        default_factory=dict
    )  # under the key "background": many explanations need them
    _rows: Mapping[str, tuple[int, ...]] = field(init=False)

    def __post_init__(self) -> None:
        rows: dict[str, list[int]] = {}
        for name in self.sources:
            verb, _, count = name.rpartition("_")
            rows.setdefault(verb, []).append(int(count))
        object.__setattr__(self, "_rows", {verb: tuple(sorted(counts)) for verb, counts in rows.items()})

    @property
    def verbs(self) -> frozenset[Verb]:
        inner = {"feature_map", "attention"} & self.card.verbs if "features" in self._rows else frozenset[Verb]()
        there: frozenset[Verb] = frozenset({*self._rows, *inner})  # type: ignore[arg-type]
        return there

    def for_predict(self, context: RequestContext) -> "LiteRTModel":
        """The model itself: predictions never wait for more than a block."""
        return self

    def for_explain(self, context: RequestContext) -> "LiteRTModel":
        """The model for one request, which ends between two blocks once that is cancelled or out of time."""

        def before_block() -> None:
            context.raise_if_cancelled()
            context.raise_if_expired()

        return replace(self, before_block=before_block)

    def forward(self, images: Array) -> Array:
        """Logits (n, K) of images (n, H, W)."""
        known = images is self.card.background
        if known and "background" in self.background_logits:
            return self.background_logits["background"]
        found = self._run("forward", ("logits",), images=images)
        logits = found["logits"] if found else np.empty((0, len(self.card.classes)), np.float32)
        if known:
            logits.flags.writeable = False
            self.background_logits["background"] = logits
        return logits

    def gradient(self, images: Array, weights: Array) -> Array:
        """d(weights . logits) / d images, (n, H, W)."""
        found = self._run("gradient", ("gradient",), images=images, weights=weights)
        return found["gradient"] if found else np.empty_like(images, np.float32)

    def features(self, images: Array, weights: Array) -> Features:
        """The inner views of images (n, H, W)."""
        found = self._run("features", None, images=images, weights=weights)
        optional = [found.get(name) for name in ("feature_map", "feature_gradient", "attention")]
        return Features(found["embedding"], *optional)

    def close(self) -> None:
        """Drop its interpreters. To be called when no request uses the model any more."""
        for source in set(self.sources.values()):
            source.pool.forget(source)

    def _run(self, verb: str, names: Sequence[str] | None, **arrays: Array) -> dict[str, Array]:
        """Outputs of n rows by name, of all names or these; nothing for no rows."""
        if verb not in self._rows:
            raise NotImplementedError(f"{self.card.name} has no LiteRT function for {verb}")
        given = {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}
        rows = len(given["images"])
        self.on_batch(rows)
        blocks = list(plan_blocks(rows, self._sizes(verb, rows)))
        found: dict[str, Array] = {}

        def compute(block: Block) -> None:
            size, start, stop = block
            self.before_block()
            name = f"{verb}_{size}"
            with self.sources[name].lend() as runners:
                part = runners.run(name, {one: _padded(array[start:stop], size) for one, array in given.items()})
            for output in names or part:
                if output not in found:
                    found.setdefault(output, np.empty((rows, *part[output].shape[1:]), part[output].dtype))
                found[output][start:stop] = part[output][: stop - start]

        _run_blocks(compute, blocks, self._helper(blocks))
        return found

    def _sizes(self, verb: str, rows: int) -> tuple[int, ...]:
        """Numbers of rows that its functions take. After a full block, the rest does not go to a function of another
        file if the two interpreters are large: they might evict each other from the pool again and again."""
        sizes = self._rows[verb]
        smallest, largest = (self.sources[f"{verb}_{size}"] for size in (sizes[0], sizes[-1]))
        together = smallest is largest or smallest.size + largest.size <= largest.pool.capacity / 2
        return sizes if together or rows < sizes[-1] else sizes[-1:]

    def _helper(self, blocks: Sequence[Block]) -> Executor | None:
        """An executor to share the blocks with: only for two or more blocks of many rows, and with an idle core."""
        if self.helpers is None or len(blocks) < 2 or blocks[1][0] == 1:
            return None
        lent = sum(pool.lent for pool in {source.pool for source in self.sources.values()})
        return self.helpers if lent + 1 < self.cores else None


def plan_blocks(rows: int, sizes: Sequence[int]) -> Iterator[Block]:
    """The blocks for so many rows, by functions of the smallest and the largest of these numbers of rows."""
    smallest, largest = sizes[0], sizes[-1]
    start = rows - rows % largest
    for first in range(0, start, largest):
        yield largest, first, first + largest
    rest = rows - start
    size = smallest if rest * REST_SHARE <= largest else largest
    for first in range(start, rows, size):
        yield size, first, min(first + size, rows)


def _padded(part: Array, rows: int) -> Array:
    """The rows, and copies of the last of them up to so many."""
    missing = rows - len(part)
    return part if missing <= 0 else np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])


def _run_blocks(compute: Callable[[Block], None], blocks: Sequence[Block], helper: Executor | None) -> None:
    """Compute all blocks, here and in a thread of `helper` if there is one; each takes the next block left."""
    if helper is None:
        for block in blocks:
            compute(block)
        return
    remaining = deque(blocks)

    def work() -> None:
        while True:
            try:
                block = remaining.popleft()
            except IndexError:
                return
            compute(block)

    helping = helper.submit(work)
    try:
        work()
    finally:
        remaining.clear()
        if not helping.cancel():
            helping.result()


def sources_of(
    folder: Path, card: ModelCard, role: Role, pool: InterpreterPool, bytes_count: bool = True
) -> dict[str, Source]:
    """The functions of the files with this role, by signature. Their interpreters count with their bytes in the pool,
    or each as one.

    Raises:
        OSError: a file cannot be read.
    """
    found = {}
    for file in card.litert:
        if role in file.roles:
            source = Source(file, (folder / file.path).read_bytes(), pool, file.memory_bytes if bytes_count else 1)
            found.update({f"{verb}_{count}": source for verb, counts in file.rows.items() for count in counts})
    return found


def predictor(folder: Path, card: ModelCard, max_interpreters: int = 1) -> LiteRTModel:
    """The model that predicts for a version, with at most so many interpreters for threads that call it at once. Only
    attacks use it too, row by row, so that a prediction waits for a row at most."""
    sources = sources_of(folder, card, "predict", InterpreterPool(max_interpreters), bytes_count=False)
    for source in set(sources.values()):
        with source.lend():  # built now: no prediction waits for it
            pass
    return LiteRTModel(card, sources)


def explaining_model(
    folder: Path,
    card: ModelCard,
    pool: InterpreterPool,
    helpers: Executor | None = None,
    cores: int = 1,
    on_batch: OnBatch = _ignore,
) -> LiteRTModel:
    """The model that explains for a version, as far as its files can, with interpreters of `pool`, which all versions
    share."""
    return LiteRTModel(card, sources_of(folder, card, "explain", pool), helpers, cores, on_batch=on_batch)
