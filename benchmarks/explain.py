"""python -m benchmarks.explain: measure our explanations beside those of the libraries, and write RESULTS.md."""

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # before TensorFlow is imported: all are compared on the processor
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of ours, before numpy is imported: as gunicorn.conf.py sets it

import json

import numpy as np

from benchmarks.case import Array, Case
from benchmarks.explaining import ours, single, weights
from benchmarks.explaining.comparisons import COMPARISONS, LIBRARIES, Comparison
from benchmarks.explaining.measures import Row, largest_difference, summary
from benchmarks.explaining.workers import PeerFailed, Worker, worker
from benchmarks.goals import Results
from benchmarks.machine import machine
from benchmarks.peers.protocol import Burst, burst
from benchmarks.results import write_part
from benchmarks.table import Setting, document
from benchmarks.venvs import PLACE
from server.types import Model

DIGITS = 200  # for the median of `shapley`

Ask = Callable[[int], Burst]
"""A burst with a seed."""


def main() -> None:
    given = arguments()
    load = os.getloadavg()[0]
    model = ours.loaded()
    source, digits = ours.digits(DIGITS)
    case = ours.case_of(model, digits[:: DIGITS // given.images][: given.images])
    chosen = [one for one in COMPARISONS if given.methods is None or one.method in given.methods]
    with ExitStack() as stack:
        workers = started(stack, case, given.libraries)
        versions = {name: value for one in workers.values() for name, value in one.versions.items()}
        rows = [row for one in chosen for row in compared(one, model, case, workers, given.rounds)]
    figures = {} if given.methods else {**single.exact_shapley(model, digits), **single.saliency_served(digits)}
    setting = Setting(
        machine(), versions, f"{datetime.now(UTC):%Y-%m-%d}", source, len(case.images), given.rounds, DIGITS, load
    )
    results = Results(rows, figures)
    PLACE.mkdir(parents=True, exist_ok=True)
    (PLACE / "explain.json").write_text(
        json.dumps({"setting": asdict(setting), "rows": [asdict(row) for row in rows], "figures": figures}, indent=1)
    )
    if given.out is None:
        write_part("explanations", document(results, setting))
    else:
        given.out.write_text(document(results, setting))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=6, help="digits that every method explains")
    parser.add_argument("--rounds", type=int, default=4, help="seeds; each method is timed once a seed and image")
    parser.add_argument("--methods", nargs="+", help="only these of ours; default: all, and the figures of ours alone")
    parser.add_argument("--libraries", nargs="*", default=list(LIBRARIES), choices=list(LIBRARIES))
    parser.add_argument("--out", type=Path, help="a file of its own; default: its part of RESULTS.md")
    return parser.parse_args()


def started(stack: ExitStack, case: Case, modules: Sequence[str]) -> dict[str, Worker]:
    """A worker for each library, by its name; they end with the stack."""
    folder = Path(stack.enter_context(TemporaryDirectory()))
    case.save(folder / "case.npz")
    arrays: dict[str, Any] = weights.of(ours.FOLDER)
    np.savez(folder / "weights.npz", **arrays)
    found = {}
    for module in modules:
        running = stack.enter_context(worker(module, folder / "case.npz", folder / "weights.npz", ours.FOLDER))
        found.update(dict.fromkeys(LIBRARIES[module], running))
        print(f"{module} is ready", flush=True)
    return found


def compared(
    comparison: Comparison, model: Model, case: Case, workers: Mapping[str, Worker], rounds: int
) -> Iterator[Row]:
    """The rows of one comparison: ours first."""
    method = comparison.key
    peers = [peer for peer in comparison.peers if peer.library in workers]
    explain = ours.explain(model, case, comparison.method, comparison.options)
    asks: list[Ask] = [partial(burst, explain, len(case.images))]
    asks += [partial(workers[peer.library].burst, peer.name) for peer in peers]
    own, *theirs = interleaved(asks, rounds)
    if isinstance(own, PeerFailed):
        raise own
    expected = expectation(comparison, case)
    first = summary(method, "inkling", comparison.method, own, expected, comparison.centred)
    yield _reported(first)
    for peer, bursts in zip(peers, theirs, strict=True):
        if isinstance(bursts, PeerFailed):
            yield _reported(Row.failed(method, peer.library, peer.name, str(bursts)))
            continue
        row = summary(method, peer.library, peer.name, bursts, expected, comparison.centred)
        difference = largest_difference(own, bursts) if peer.alike else None
        yield _reported(
            replace(row, times=row.ms / first.ms, cpu_times=row.cpu_ms / first.cpu_ms, difference=difference)
        )


def interleaved(asks: Sequence[Ask], rounds: int) -> list[list[Burst] | PeerFailed]:
    """The bursts of each, one for each seed 1 .. rounds, taken in turns so that what else the machine does meets all
    alike. A round before warms up and is not counted."""
    found: list[list[Burst] | PeerFailed] = [[] for _ in asks]
    for seed in range(rounds + 1):
        for number, ask in enumerate(asks):
            bursts = found[number]
            if isinstance(bursts, PeerFailed):
                continue
            try:
                bursts.append(ask(seed))
            except PeerFailed as error:
                found[number] = error
    return [bursts if isinstance(bursts, PeerFailed) else bursts[1:] for bursts in found]


def expectation(comparison: Comparison, case: Case) -> tuple[Array, Array] | None:
    """Score and base (n,) to whose difference the values should sum."""
    if comparison.base is None:
        return None
    return case.scores, case.black if comparison.base == "black" else case.typical


def _reported(row: Row) -> Row:
    print(f"{row.method:36s} {row.library:8s} {row.name:30s} {row.error or f'{row.ms:8.2f} ms'}", flush=True)
    return row


if __name__ == "__main__":
    main()
