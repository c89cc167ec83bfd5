"""The generated tables of the pages: from the cards of the shipped models, the benchmarks' results and the code."""

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from server import attacks, explainers, metrics
from server.config import settings_table
from tests.support.servers import ROOT

MODELS = ("cnn", "lstm", "mlp")
LIME = "lime's LimeImageExplainer"
RESULTS = ROOT / "benchmarks" / "RESULTS.md"


class Goal(NamedTuple):
    """A row of a table of targets."""

    what: str
    target: str
    measured: str
    verdict: str


def cells(text: str) -> list[list[str]]:
    """The rows of the tables in a text, but for the lines below their heads."""
    lines = [line.strip()[1:-1].split("|") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line] for line in lines]


def results(part: str) -> str:
    """What one benchmark wrote: explanations, faults, serving or reading."""
    return RESULTS.read_text().partition(f"<!-- {part} -->\n")[2].partition(f"<!-- end {part} -->")[0]


def section(part: str, title: str) -> str:
    """A section of what one benchmark wrote."""
    return results(part).partition(f"## {title}\n")[2].partition("\n## ")[0].strip() + "\n"


def goals(part: str) -> list[Goal]:
    titles = {"explanations": "Targets", "serving": "Targets of serving", "reading": "Targets of reading"}
    return [Goal(*row) for row in cells(section(part, titles[part])) if row[0]]


def card(model: str) -> Any:
    return json.loads((ROOT / "model_store" / model / "2" / "assets.extra" / "model_card.json").read_text())


def percent(share: float) -> str:
    return f"{share:.2%}".replace("%", " %")


def models_table() -> str:
    """Accuracies from the cards of the shipped versions."""
    rows = [
        "| model | MNIST's 10,000 test images | the same, distorted | LiteRT twin | training |",
        "|---|---|---|---|---|",
    ]
    for name in MODELS:
        measured, trained = card(name)["metrics"], card(name)["training"]
        size = (ROOT / "model_store" / name / "2" / "assets.extra" / "model.tflite").stat().st_size
        shares = f"{percent(measured['accuracy'])} | {percent(measured['accuracy_augmented'])}"
        took = f"{trained['epochs']} epochs in {trained['seconds'] / 60:.0f} min"
        rows.append(f"| `{name}` | {shares} | {size / 1e6:.1f} MB | {took} |")
    return "\n".join(rows) + "\n"


def speed_table() -> str:
    """Our time and the peers' as multiples of it, from the last run of the benchmark."""
    rows = ["| explanation of one digit by the CNN | Inkling | times longer |", "|---|---|---|"]
    for part in results("explanations").split("\n### ")[1:]:
        lines = cells(part.partition("\n## ")[0])
        ours, *peers = [row for row in lines if row[0] != "method"]
        told = ", ".join(f"{peer[0]} {peer[2]}" for peer in peers if len(peer) > 2 and peer[2])
        rows.append(f"| {part.splitlines()[0]} | {ours[1].split(' ')[0]} ms | {told} |")
    return "\n".join(rows) + "\n"


def serving_table() -> str:
    """What predictions over HTTP were expected to reach and did, from the last run of the benchmark."""
    return section("serving", "Targets of serving")


def rates_table() -> str:
    """Requests a second at 8 connections, from the last run of the benchmark."""
    rows = ["| picture | server | requests a second | p50 | p99 |", "|---|---|---|---|---|"]
    for picture, server, *figures in cells(section("serving", "Load by load")):
        if picture and ", " not in server:
            rows.append(f"| {picture} | {server} | {figures[3]} | {figures[4]} ms | {figures[5]} ms |")
    return "\n".join(rows) + "\n"


def reading_table() -> str:
    """What share of each kind of picture is read right, from the last run of the benchmark."""
    head, *rows = cells(section("reading", "Kind by kind"))
    shown = [head.index(name) for name in ("cnn", "tutorial", "naive", "surely wrong")]
    told = [
        f"| {' | '.join([row[0].replace('_', ' '), *(row[i] for i in shown)])} |" for row in rows if row[0] != "mnist"
    ]
    return (
        "\n".join(["| percent | Inkling | tutorial | naive | Inkling surely wrong |", "|---|---|---|---|---|", *told])
        + "\n"
    )


def options_table() -> str:
    """Every option of every method and attack; methods with the same options have them once."""
    methods: dict[str, list[str]] = {}
    for one in [*explainers.describe_all(), *attacks.describe_attacks()]:
        for option in one["options"]:
            default = str(option["default"]).lower() if option["type"] == "boolean" else option["default"]
            row = f"`{option['name']}` | {default} | {accepted(option)} | {option['description']} |"
            methods.setdefault(row, []).append(f"`{one['name']}`")
    rows = [f"| {', '.join(names)} | {row}" for row, names in methods.items()]
    return "\n".join(["| method | option | default | accepts | |", "|---|---|---|---|---|", *rows]) + "\n"


def accepted(option: dict[str, Any]) -> str:
    """The values that an option takes."""
    if "choices" in option:
        return ", ".join(option["choices"])
    if option["type"] == "boolean":
        return "true, false"
    return f"{option['minimum']:g} to {option['maximum']:g}"


def metrics_table() -> str:
    """Every metric with its labels."""
    rows = ["| metric | labels | |", "|---|---|---|"]
    for named in metrics.TABLE:
        name = named.name + ("_total" if named.kind is metrics.Counter else "")
        rows.append(f"| `{name}` | {', '.join(named.labels)} | {named.about.replace('|', chr(92) + '|')} |")
    return "\n".join(rows) + "\n"


def figures() -> str:
    """The README's few figures, from the cards and the last runs of the benchmarks."""
    accuracies = ", ".join(f"`{name}` {percent(card(name)['metrics']['accuracy'])}" for name in MODELS)
    digits = re.findall(r"over (\d+) test digits", results("explanations"))[0]
    cores = re.findall(r"(\d+) cores", results("serving"))[0]
    rates = [f"{row[2]} ({row[0]})" for row in cells(rates_table()) if row[1] == "Inkling"]
    of = {goal.what: goal.measured for goal in goals("explanations") + goals("serving")}
    names = {"explanations": "explaining", "serving": "serving", "reading": "reading pictures"}
    reached = [f"{sum(goal.verdict == 'reached' for goal in goals(part))} of {len(goals(part))} for {what}"
               for part, what in names.items()]  # fmt: skip
    lines = [
        f"Of MNIST's 10,000 test images the nets read right: {accuracies}.",
        *read_by_kind(),
        f"Exact Shapley values take {of['exact `shapley`, median of the test digits']}, the median of {digits} test "
        "digits.",
        f"LIME: {of[f'`lime`: times faster than {LIME}']} times faster than the `lime` package, with coefficients that "
        f"differ by {of[f'`lime`: largest difference from {LIME}']} at most.",
        f"Predictions a second on {cores} cores: {', '.join(rates)}.",
        f"First prediction {of['first prediction, after a start']} after the start; a worker takes "
        f"{of['memory of a worker that only predicts']}, and "
        f"{of['memory of a worker that has explained by every method with every net']} once it has explained by every "
        "method.",
        f"Targets that we set ourselves and reached: {', '.join(reached)}.",
    ]
    return "".join(f"- {line}\n" for line in lines)


def read_by_kind() -> list[str]:
    """How well pictures are read, in two sentences."""
    rows = cells(reading_table())[1:]
    (strangers,) = [row for row in rows if row[0] == "pictures by strangers"]
    kinds = [row for row in rows if row is not strangers]
    ours, tutorial = ([float(row[column]) for row in kinds] for column in (1, 2))
    count = next(row[1] for row in cells(section("reading", "Kind by kind")) if row[0] == strangers[0])
    return [
        f"Of {len(kinds)} kinds of photos, scans, forms, boards and drawings the `cnn` reads {min(ours):g} to "
        f"{max(ours):g} % right; with the preprocessing of common tutorials, {min(tutorial):g} to {max(tutorial):g} %.",
        f"Of {count} pictures by strangers it reads {strangers[1]} % right; with the tutorials' preprocessing, "
        f"{strangers[2]} %.",
    ]


TABLES: dict[str, Callable[[], str]] = {
    "figures": figures,
    "models": models_table,
    "speed": speed_table,
    "serving": serving_table,
    "rates": rates_table,
    "reading": reading_table,
    "options": options_table,
    "metrics": metrics_table,
    "settings": lambda: f"| variable | default | |\n|---|---|---|\n{settings_table()}\n",
}
