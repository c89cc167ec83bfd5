"""Results -> RESULTS.md. Everything that is said there follows from the measurements; nothing is typed by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.explaining.comparisons import COMPARISONS, Comparison
from benchmarks.explaining.measures import Row
from benchmarks.goals import GOALS, Results, Verdict

HEAD = (
    "| method | ms (quartiles) | times ours | cpu ms | times ours | rows | gap | seed noise | differs |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Setting:
    """Under what the figures were measured."""

    machine: Mapping[str, str]
    versions: Mapping[str, str]  # of the peers
    date: str
    source: str  # of the digits
    images: int
    rounds: int
    digits: int  # for the median of `shapley`
    load: float  # processes that wanted to run on the machine in the minute before


def document(results: Results, setting: Setting) -> str:
    """The whole file."""
    verdicts = [goal(results) for goal in GOALS]
    reported = [one for one in COMPARISONS if any(row.method == one.key for row in results.rows)]
    parts = [
        "# Explanations, ours and theirs\n",
        "Written by `make bench-explain`; [README.md](README.md) says how it measures.\n",
        _setting(setting),
        "## Targets\n",
        targets(verdicts),
        "## Method by method\n",
        *(_section(one, results) for one in reported),
        "## Ours alone\n",
        _figures(results.figures, setting),
    ]
    return "\n".join(parts)


def targets(verdicts: Sequence[Verdict]) -> str:
    """Each target with what was measured and whether it was reached."""
    words = {True: "reached", False: "**missed**", None: "not measured"}
    lines = [f"| {one.what} | {one.target} | {one.measured} | {words[one.reached]} |" for one in verdicts]
    return "\n".join(["| | target | measured | |", "|---|---|---|---|", *lines]) + "\n"


def _setting(setting: Setting) -> str:
    facts = {**setting.machine, **setting.versions}
    line = ", ".join(f"{name} {value}" for name, value in facts.items() if name not in ("processor", "cores", "system"))
    machine = f"{setting.machine['processor']}, {setting.machine['cores']} cores; {setting.machine['system']}"
    return (
        f"{setting.date}. {machine}; no GPU. {line}. Model `cnn` version 2; {setting.images} images: {setting.source}; "
        f"{setting.rounds} rounds with a seed each. Load before the start: {setting.load:.1f}.\n"
    )


def _section(comparison: Comparison, results: Results) -> str:
    rows = [row for row in results.rows if row.method == comparison.key]
    note = f"\n{comparison.note[0].upper()}{comparison.note[1:]}\n" if comparison.note else ""
    return "\n".join([f"### `{comparison.call}`\n{note}", HEAD, *map(_row, rows)]) + "\n"


def _row(row: Row) -> str:
    name = "**inkling**" if row.library == "inkling" else f"{row.library} {row.name}"
    if row.error is not None:
        return f"| {name} | fails: {row.error.splitlines()[0].replace('|', '/')[:120]} | | | | | | | |"
    cells = (
        f"{_ms(row.ms)} ({_ms(row.low)} to {_ms(row.high)})",
        "" if row.times is None else f"{row.times:.1f}",
        _ms(row.cpu_ms),
        "" if row.cpu_times is None else f"{row.cpu_times:.1f}",
        f"{row.rows:.0f}",
        "" if row.gap is None else f"{row.gap:.2%}".replace("%", " %"),
        "" if row.noise is None else f"{row.noise:.3f}",
        "" if row.difference is None else f"{row.difference:.0e}",
    )
    return f"| {name} | {' | '.join(cells)} |"


def _ms(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _figures(figures: Mapping[str, float], setting: Setting) -> str:
    lines = []
    if "shapley_median" in figures:
        lines.append(
            f"- `shapley` with its defaults over {setting.digits} test digits: median "
            f"{_ms(figures['shapley_median'])} ms, 90th percentile {_ms(figures['shapley_p90'])} ms; "
            f"{figures['shapley_exact']:.0%} of them exact.".replace("%", " %")
        )
    if "server_explain" in figures:
        reported = {
            name.removeprefix("server_"): value for name, value in figures.items() if name.startswith("server_")
        }
        stages = ", ".join(f"{name} {_ms(reported[name])}" for name in reported if name not in ("total", "round_trip"))
        lines.append(
            f"- `saliency` inside the server, over one connection: the method {_ms(figures['server_explain'])} ms; the "
            f"whole request {_ms(figures['server_total'])} ms ({stages}); the round trip "
            f"{_ms(figures['server_round_trip'])} ms."
        )
    return "\n".join(lines) + "\n"
