"""What `make bench-serve` measured -> its part of RESULTS.md. Nothing is typed by hand."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from statistics import median

from benchmarks.machine import machine
from benchmarks.serving.bodies import NAMES
from benchmarks.serving.goals import Found, times, verdicts
from benchmarks.serving.load import AT, Load, Loads, Measured
from benchmarks.serving.posted import PLAIN
from benchmarks.table import targets


@dataclass(frozen=True)
class Setting:
    """Under what the figures were measured; `sizes` are the pictures' bytes by their names."""

    date: str
    source: str  # of the digit that the small PNG shows
    sizes: Mapping[str, int]
    workers: int
    rounds: int
    seconds: int
    load: float


def document(found: Found, setting: Setting) -> str:
    """The whole part."""
    measured = chain.from_iterable(
        chain.from_iterable(those.values()) for those in (found.loads, *found.beside.values())
    )
    wrong = sum(one.wrong for one in chain(measured, *chain.from_iterable(found.busy.values())))
    parts = [
        "# Predictions, ours and other servers'\n",
        "Written by `make bench-serve`; [README.md](README.md) says how it measures.\n",
        _setting(setting),
        "## Targets of serving\n",
        targets(verdicts(found)),
        "## Load by load\n",
        f"Requests a second and milliseconds, medians of {setting.rounds} rounds; {wrong} answers were wrong.\n",
        _loads(found.loads),
    ]
    if found.beside:
        parts += ["## Beside other servers\n", _about_peers(), _beside(found.beside)]
    return "\n".join(parts)


def _setting(setting: Setting) -> str:
    facts = machine()
    software = ", ".join(f"{name} {facts[name]}" for name in ("python", "tensorflow", "numpy"))
    libraries = ", ".join(f"{name} {version(name)}" for name in ("gunicorn", "Flask", "pillow"))
    pictures = ", ".join(f"{NAMES[name]} ({_size(size)})" for name, size in setting.sizes.items())
    return (
        f"{setting.date}. {facts['processor']}, {facts['cores']} cores; {facts['system']}; no GPU. {software}, "
        f"{libraries}. {setting.workers} workers of 16 threads. Posted: {pictures}; the PNG shows one of "
        f"{setting.source}. Loads of {setting.seconds} s by wrk on the same machine. Load before the start: "
        f"{setting.load:.1f}.\n"
    )


def _size(size: int) -> str:
    return f"{size} bytes" if size < 1000 else f"{size / 1e3:.1f} kB" if size < 1e6 else f"{size / 1e6:.1f} MB"


def _loads(loads: Loads) -> str:
    counts = sorted({load.connections for load in loads})
    head = "".join(f" {one} conn. | p50 | p99 |" for one in counts)
    lines = [f"| | |{head}", "|---|---|" + "---|---|---|" * len(counts)]
    for body, server in dict.fromkeys((load.body, load.server) for load in loads):
        reported = "".join(_cells(loads.get(Load(server, body, count))) for count in counts)
        lines.append(f"| {NAMES[body]} | {server} |{reported}")
    return "\n".join(lines) + "\n"


def _cells(several: Sequence[Measured] | None) -> str:
    if several is None:
        return " | | |"
    rate, p50, p99 = (median(getattr(one, of) for one in several) for of in ("rate", "p50", "p99"))
    return f" {_rate(rate)} | {p50:.2f} | {p99:.2f} |"


def _rate(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.1f}"


def _about_peers() -> str:
    return (
        f"At {AT} connections, each of the others with each of its settings in turns with ours; the last column is the "
        "median of the rounds' ratios.\n"
    )


def _beside(beside: Mapping[str, Loads]) -> str:
    lines = ["| | | a second | p50 | p99 | ours | times |", "|---|---|---|---|---|---|---|"]
    return "\n".join([*lines, *_peer_rows(beside)]) + "\n"


def _peer_rows(beside: Mapping[str, Loads]) -> Iterator[str]:
    for body, reported in NAMES.items():
        for what, loads in beside.items():
            ratio = times(loads, PLAIN, what, body)
            if not math.isnan(ratio):
                own = median(one.rate for one in loads[Load(PLAIN, body, AT)])
                yield f"| {reported} | {what} |{_cells(loads[Load(what, body, AT)])} {_rate(own)} | {ratio:.1f} |"
