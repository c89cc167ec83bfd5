"""The tables of docs/nets.md from the figures of versions. Imports no TensorFlow, so that tests compare the page."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from scipy.stats import binomtest

from server.types import COVERAGE

FIGURES = Path(__file__).parent / "nets.json"  # of all versions that were ever measured, for before and after
NETS = ("cnn", "mlp", "lstm")
SURE = 0.95  # probability
FLAGGED = 0.03  # of MNIST's test images, where kinds are compared
SPLITS = 50


def figures() -> dict[str, Any]:
    """By version, such as cnn/3, what was measured of it."""
    found: dict[str, Any] = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    return found


def document(figures: Mapping[str, Any]) -> str:
    columns = list(latest_two(figures))
    chosen = {column: figures[column] for column in columns}
    head = f"| | {' | '.join(f'`{column}`' for column in columns)} |"
    line = f"| --- |{' ---: |' * len(columns)}"
    parts = [f"## {title}\n\n{about}\n\n{head}\n{line}\n{rows}" for title, about, rows in sections(chosen)]
    return "\n\n".join(parts) + "\n"


def latest_two(figures: Mapping[str, Any]) -> Iterator[str]:
    """Of each net the latest version that was measured, behind the one before it."""
    for name in NETS:
        numbers = sorted(int(one.partition("/")[2]) for one in figures if one.startswith(f"{name}/"))
        yield from (f"{name}/{number}" for number in numbers[-2:])


def sections(chosen: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    every = list(chosen.values())
    yield (
        "Read right",
        "In per cent, with the 95 % interval of the share (Wilson).",
        "\n".join(
            [
                table(every, "read", lambda pair: interval(*pair)),
                row("strangers', misread above 0.95, number", [one.get("strangers") for one in every], str),
            ]
        ),
    )
    yield "Corrupted", "Of 2,000 test images after each corruption, those read right, in per cent.", "\n".join([
        row("**mean**", [fmean(one["corruptions"].values()) for one in every], percent),
        table(every, "corruptions", percent),
    ])  # fmt: skip
    yield (
        "Attacked",
        "Of 1,000 test images whose pixels differ by so much at most, chosen against the net, those read right, in per "
        "cent. Nothing was trained against attacks.",
        table(every, "attacks", percent),
    )
    yield (
        "Calibrated",
        "Mean gap between probability and share of right answers (ECE, 15 bins), in per cent. Then prediction sets for "
        f"{COVERAGE:.1%}: what share holds the right digit, by the card's calibration and by that of half of the test "
        f"images for the other half (mean of {SPLITS} splits), and what share names several digits.",
        "\n".join([
            table(every, "ece", lambda share: f"{100 * share:.2f}", "ECE, "),
            row("sets, by the card", [one["sets"].get("covered") for one in every], lambda share: f"{share:.2%}"),
            row("sets, by halves", [one["sets"]["splits"] for one in every], lambda share: f"{share:.2%}"),
            row("several digits", [one["sets"].get("several") for one in every], lambda share: f"{share:.2%}"),
        ]),
    )  # fmt: skip
    yield (
        "Not a digit",
        f"AUROC of the energy score against MNIST's test images, and how many pass where {FLAGGED:.0%} of those are "
        "flagged, both in per cent. Look-alikes are letters that somebody would read as a digit.",
        table(every, "unlike", lambda one: f"{100 * one['auroc']:.2f}, {100 * one['passing']:.1f}"),
    )
    yield (
        "Digits flagged",
        "Whose `in_distribution` is not `ok`, by the card's threshold, in per cent.",
        table(every, "flagged", percent),
    )


def table(every: list[Mapping[str, Any]], section: str, shown: Callable[[Any], str], before: str = "") -> str:
    names = dict.fromkeys(name for one in every for name in one[section])  # in order, each once
    return "\n".join(
        row(before + name.replace("_", " "), [one[section].get(name) for one in every], shown) for name in names
    )


def row(name: str, values: list[Any], shown: Callable[[Any], str]) -> str:
    return f"| {name} | {' | '.join('' if value is None else shown(value) for value in values)} |"


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def interval(right: int, of: int) -> str:
    """Share in per cent, and its Wilson interval."""
    low, high = binomtest(right, of).proportion_ci(method="wilson")
    return f"{100 * right / of:.2f} ({100 * low:.1f} to {100 * high:.1f})"
