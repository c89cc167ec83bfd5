"""What serving is expected to reach, and whether it did: every verdict is computed from what was measured."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from benchmarks.goals import Verdict, verdict
from benchmarks.serving.beside import Busy
from benchmarks.serving.bodies import NAMES
from benchmarks.serving.load import AT, Load, Loads
from benchmarks.serving.memory import Memory
from benchmarks.serving.posted import MLP, NAIVE, NULL, PLAIN, PRODUCTION

PEERS = {"LitServe": 4.0, "MLServer": 2.5, "BentoML": 1.0}  # times whose rate ours is to have, in plain settings
NET = {MLP: "mlp", PLAIN: "cnn"}


@dataclass(frozen=True)
class Found:
    """All that was measured. `beside` has each peer's loads and ours of the same rounds, by the peer with its
    setting; `starts` seconds, by what was answered first."""

    loads: Loads
    beside: Mapping[str, Loads]
    busy: Busy
    starts: Mapping[str, float]
    memory: Memory


def verdicts(found: Found) -> list[Verdict]:
    return [
        *beside_naive(found.loads),
        in_production(found.loads),
        *beside_null(found.loads),
        *beside_peers(found.beside),
        *beside_explanations(found.busy),
        *of_starts(found.starts),
        *of_memory(found.memory),
    ]


def times(loads: Loads, server: str, other: str, body: str, figure: str = "rate") -> float:
    """The median over rounds of one server's figure by another's in the same round, at AT connections; NaN where one
    of them was not measured."""
    several, others = (loads.get(Load(name, body, AT)) for name in (server, other))
    if several is None or others is None:
        return math.nan
    return median(getattr(one, figure) / getattr(by, figure) for one, by in zip(several, others, strict=True))


def beside_naive(loads: Loads) -> list[Verdict]:
    found = []
    for body, least in (("drawing", 0.7), ("photo", 2.0)):
        ratio = times(loads, PLAIN, NAIVE, body)
        about = f"{NAMES[body]}: times the naive handler's rate, at {AT} connections"
        found.append(verdict(about, f"at least {least:g}", f"{ratio:.2f}", ratio, ratio >= least))
    body, ratio = worst(loads, PLAIN, NAIVE, "p99")
    about = f"times the naive handler's p99, at {AT} connections, for the picture where it is highest"
    return [*found, verdict(about, "at most 3", f"{ratio:.2f} ({body})", ratio, ratio <= 3)]


def in_production(loads: Loads) -> Verdict:
    body, ratio = worst(loads, PRODUCTION, PLAIN)
    about = (
        f"keys, JSON access log, limits and CORS: share of the plain rate, at {AT} connections, for the picture where"
    )
    return verdict(f"{about} it is lowest", "at least 0.8", f"{ratio:.2f} ({body})", ratio, ratio >= 0.8)


def worst(loads: Loads, server: str, other: str, figure: str = "rate") -> tuple[str, float]:
    """The picture for which `times` is the least, or the most where less is better, and that; NaN where none was
    measured."""
    ratios = {reported: times(loads, server, other, body, figure) for body, reported in NAMES.items()}
    measured = {reported: ratio for reported, ratio in ratios.items() if not math.isnan(ratio)}
    if not measured:
        return "", math.nan
    reported = (min if figure == "rate" else max)(measured, key=lambda one: measured[one])
    return reported, measured[reported]


def beside_null(loads: Loads) -> list[Verdict]:
    found = []
    for server, least in ((MLP, 0.65), (PLAIN, 0.5)):
        ratio = times(loads, server, NULL, "png")
        about = f"{NAMES['png']}, `{NET[server]}`: share of the null handler's rate, at {AT} connections"
        found.append(verdict(about, f"at least {least:g}", f"{ratio:.2f}", ratio, ratio >= least))
    for server in (MLP, PLAIN):
        ratio = times(loads, server, NULL, "png", "p99")
        about = f"{NAMES['png']}, `{NET[server]}`: times the null handler's p99, at {AT} connections"
        found.append(verdict(about, "at most 2", f"{ratio:.2f}", ratio, ratio <= 2))
    return found


def beside_peers(beside: Mapping[str, Loads]) -> list[Verdict]:
    """For the setting in which the peer does better."""
    found = []
    for name, least in PEERS.items():
        ratios = [times(loads, PLAIN, what, "png") for what, loads in beside.items() if what.startswith(name)]
        ratio = min(ratios, default=math.nan)
        about = f"{NAMES['png']}: times the rate of {name} in the better of its two settings, at {AT} connections"
        target = "more than 1" if least == 1 else f"at least {least:g}"
        found.append(verdict(about, target, f"{ratio:.1f}", ratio, ratio > 1 and ratio >= least))
    return found


def beside_explanations(busy: Busy) -> list[Verdict]:
    found = []
    for method, pairs in busy.items():
        ratio = median(loaded.p99 / idle.p99 for idle, loaded in pairs)
        idle, loaded = (median(pair[side].p99 for pair in pairs) for side in (0, 1))
        reported = f"{ratio:.1f} ({idle:.1f} ms without, {loaded:.1f} ms with)"
        about = (
            f"p99 of predictions under explanations by `{method}` from twice as many clients as slots, as a multiple "
            "of the p99 without them"
        )
        found.append(Verdict(about, "at most 2", reported, ratio <= 2))
    return found


def of_starts(starts: Mapping[str, float]) -> list[Verdict]:
    return [
        Verdict(f"{what}, after a start", "within 1.5 s", f"{value:.2f} s", value <= 1.5)
        for what, value in starts.items()
    ]


def of_memory(found: Memory) -> list[Verdict]:
    figures = [
        ("memory of a worker that only predicts", 140, "MB", found.predicting),
        ("memory of a worker that has explained by every method with every net", 200, "MB", found.explaining),
        (f"{NAMES['large']} alone, over HTTP", 60, "ms", found.large_ms),
        (f"{NAMES['large']}: what it adds to a worker's memory at most", 40, "MB", found.large_mb),
    ]
    return [
        verdict(about, f"at most {most} {unit}", f"{value:.1f} {unit}", value, value <= most)
        for about, most, unit, value in figures
    ]
