"""What `make bench-read` measured -> its part of RESULTS.md. Nothing is typed by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.goals import Verdict
from benchmarks.machine import machine
from benchmarks.table import targets

STRANGERS = "pictures by strangers"
MNIST = "mnist"  # its own pictures, sent as they are: what the nets can reach
LEAST = {STRANGERS: 0.98}  # of a kind's pictures, read right by the CNN
USUAL = 0.95
MOST = 0.01  # of a kind's pictures, surely read wrong by the CNN
COLUMNS = ("cnn", "mlp", "lstm", "naive", "tutorial")


@dataclass(frozen=True)
class Reading:
    """How one kind of picture is read. Shares are of all its pictures."""

    kind: str
    count: int
    right: Mapping[str, float]  # by each of COLUMNS
    refused: float  # nothing was found in them
    surely_wrong: float  # by the CNN
    ms: float  # from bytes to the model's image, median


def document(readings: Sequence[Reading], date: str, load: float) -> str:
    """The whole part."""
    facts = machine()
    return "\n".join(
        [
            "# Posted pictures, read\n",
            "Written by `make bench-read`; [README.md](README.md) says what the kinds are and how it measures.\n",
            f"{date}. {facts['processor']}, {facts['cores']} cores; {facts['system']}; no GPU. "
            f"python {facts['python']}, numpy {facts['numpy']}. Load before the start: {load:.1f}.\n",
            "## Targets of reading\n",
            targets([verdict(one) for one in readings if one.kind != MNIST]),
            "## Kind by kind\n",
            "Percent of the pictures that are read right, by our nets and by the CNN after others' recipes; that are "
            "refused as blank; that the CNN surely misreads. Then milliseconds from bytes to the net's image.\n",
            "| | pictures | " + " | ".join(COLUMNS) + " | refused | surely wrong | ms |",
            "|---|" + "---|" * (len(COLUMNS) + 4),
            *map(line, readings),
        ]
    )


def verdict(one: Reading) -> Verdict:
    """Whether a kind is read as it should be."""
    least = LEAST.get(one.kind, USUAL)
    measured = f"{_percent(one.right['cnn'])} %, {_percent(one.surely_wrong)} %"
    reached = one.right["cnn"] >= least and one.surely_wrong <= MOST
    target = f"at least {_percent(least)} %, at most {_percent(MOST)} %"
    return Verdict(f"{one.kind}: read right by the CNN, surely wrong", target, measured, reached)


def line(one: Reading) -> str:
    """A row of the table."""
    shares = [*(one.right[by] for by in COLUMNS), one.refused, one.surely_wrong]
    return f"| {one.kind} | {one.count} | {' | '.join(map(_percent, shares))} | {one.ms:.1f} |"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0")
