"""What `make bench-serve` measured -> its part of RESULTS.md. Nothing is typed by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from statistics import median

from benchmarks.goals import Verdict
from benchmarks.load import Loads, Measured
from benchmarks.machine import machine
from benchmarks.table import targets

FLOOR = "null handler"
OURS = "/v1/predict, cnn"
DRAWN = "/v1/predict, cnn, a drawing of 280 x 280"
PHOTO = "/v1/predict, cnn, a photo of 1200 x 900"
AT = 8  # connections
COLUMNS = ("rate", "p50", "p99")
MEMORY = (120, 200)  # megabytes of a worker, without and with explanations


Busy = Mapping[str, Sequence[tuple[Measured, Measured]]]
"""By the method that was asked for beside: what each round measured idle, and beside explanations."""


@dataclass(frozen=True)
class Setting:
    """Under what the figures were measured."""

    date: str
    source: str
    workers: int
    rounds: int
    seconds: int
    load: float


def document(
    loads: Loads,
    beside: Mapping[str, Loads],
    busy: Busy,
    first: tuple[Mapping[str, float], Mapping[str, float]],
    setting: Setting,
) -> str:
    """`beside` has each peer's loads and ours of the same rounds."""
    verdicts = [*_beside_floor(loads), *_beside_peers(beside), *_alone(busy, *first)]
    every = {**loads, **{key: one for those in beside.values() for key, one in those.items() if key[0] != OURS}}
    measured = chain.from_iterable(several for those in (loads, *beside.values()) for several in those.values())
    wrong = sum(one.wrong for one in chain(measured, *chain.from_iterable(busy.values())))
    return "\n".join(
        [
            "# Predictions, ours and other servers'\n",
            "Written by `make bench-serve`; [README.md](README.md) says how it measures.\n",
            _setting(setting),
            "## Targets of serving\n",
            targets(verdicts),
            "## Load by load\n",
            f"Requests a second and milliseconds, medians of {setting.rounds} rounds; {wrong} answers were wrong.\n",
            _table(every),
        ]
    )


def _setting(setting: Setting) -> str:
    facts = machine()
    names = ("tensorflow", "numpy")
    software = ", ".join([f"python {facts['python']}", *(f"{name} {facts[name]}" for name in names)])
    return (
        f"{setting.date}. {facts['processor']}, {facts['cores']} cores; {facts['system']}; no GPU. {software}, "
        f"gunicorn {version('gunicorn')}, Flask {version('flask')}. {setting.workers} workers of 16 threads; one of "
        f"{setting.source}, as a PNG of 28 x 28; loads of {setting.seconds} s by wrk on the same machine. Load before "
        f"the start: {setting.load:.1f}.\n"
    )


def _beside_floor(loads: Loads) -> list[Verdict]:
    found = []
    floor = loads[FLOOR, AT]
    for what, least in (("/v1/predict, mlp", 0.65), (OURS, 0.5)):
        ratio = median(one.rate / null.rate for one, null in zip(loads[what, AT], floor, strict=True))
        about = f"`{what}`: share of the null handler's rate, at {AT} connections"
        found.append(Verdict(about, f"at least {least}", f"{ratio:.2f}", ratio >= least))
    for what in ("/v1/predict, mlp", OURS):
        ratio = median(one.p99 / null.p99 for one, null in zip(loads[what, AT], floor, strict=True))
        about = f"`{what}`: times the null handler's p99, at {AT} connections"
        found.append(Verdict(about, "at most 2", f"{ratio:.2f}", ratio <= 2))
    return found


def _beside_peers(beside: Mapping[str, Loads]) -> list[Verdict]:
    """Best against best in the same round, for the setting in which the peer does best."""
    found = []
    for name, least in (("LitServe", 4.0), ("MLServer", 2.5), ("BentoML", None)):
        ratios = [_ratio(what, loads) for what, loads in beside.items() if what.startswith(name)]
        ratio = min(ratios) if ratios else None
        about = f"`{OURS}`: times the rate of {name}, each at its best"
        measured, reached = ("", None) if ratio is None else (f"{ratio:.1f}", ratio >= (least or 1))
        found.append(Verdict(about, "more" if least is None else f"at least {least:g}", measured, reached))
    return found


def _ratio(what: str, loads: Loads) -> float:
    """The median over rounds of our best rate over connections by theirs."""
    best = []
    for name in (OURS, what):
        rates = [[one.rate for one in several] for key, several in loads.items() if key[0] == name]
        best.append([max(of_round) for of_round in zip(*rates, strict=True)])
    return median(one / other for one, other in zip(*best, strict=True))


def _alone(busy: Busy, seconds: Mapping[str, float], memory: Mapping[str, float]) -> list[Verdict]:
    found = []
    for method, pairs in busy.items():
        ratio = median(loaded.p99 / idle.p99 for idle, loaded in pairs)
        idle, loaded = (median(pair[side].p99 for pair in pairs) for side in (0, 1))
        told = f"{ratio:.1f} ({idle:.1f} ms idle, {loaded:.1f} ms beside)"
        about = f"p99 of predictions while `{method}` is asked for by twice as many as there are slots, beside idle"
        found.append(Verdict(about, "at most 2", told, ratio <= 2))
    for what, value in seconds.items():
        found.append(Verdict(f"{what}, after a start", "within 1.5 s", f"{value:.2f} s", value <= 1.5))
    for (what, value), most in zip(memory.items(), MEMORY, strict=True):
        found.append(Verdict(f"memory of a worker {what}", f"at most {most} MB", f"{value:.0f} MB", value <= most))
    return found


def _table(loads: Loads) -> str:
    connections = sorted({key[1] for key in loads})
    names = list(dict.fromkeys(key[0] for key in loads))
    head = "".join(f" {one} conn. | p50 | p99 |" for one in connections)
    lines = [f"| |{head}", "|---|" + "---|---|---|" * len(connections)]
    for name in names:
        cells = [[median(getattr(one, of) for one in loads[name, at]) for of in COLUMNS] for at in connections]
        told = "".join(f" {rate:.0f} | {p50:.2f} | {p99:.2f} |" for rate, p50, p99 in cells)
        lines.append(f"| {name} |{told}")
    return "\n".join(lines) + "\n"
