"""The generated tables of the pages: from the cards of the shipped models, the benchmarks' results and the code."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from scipy.stats import binomtest

from benchmarks.reading import nets_page
from benchmarks.store import STORE, shipped
from server import attacks, explainers, metrics
from server.config import settings_table
from tests.support.processes.servers import ROOT
from training.store.labels import version_in

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
    return stored(shipped(model))


def stored(version: Path) -> Any:
    return json.loads((version / "assets.extra" / "model_card.json").read_text())


def percent(share: float) -> str:
    return f"{share:.2%}".replace("%", " %")


def models_table() -> str:
    """Accuracies from the cards of the shipped versions."""
    rows = [
        "| model | MNIST's 10,000 test images | the same, distorted | LiteRT twin | training |",
        "|---|---|---|---|---|",
    ]
    for name in (*MODELS, "cnn/edge"):
        version = version_in(STORE, name)
        measured, trained = stored(version)["metrics"], stored(version)["training"]
        size = (version / "assets.extra" / "model.tflite").stat().st_size
        shares = f"{percent(measured['accuracy'])} | {percent(measured['accuracy_augmented'])}"
        took = f"{trained['epochs']} epochs in {trained['seconds'] / 60:.0f} min"
        rows.append(f"| `{name}` | {shares} | {size / 1e6:.2g} MB | {took} |")
    return "\n".join(rows) + "\n"


def trained_table() -> str:
    """The shipped versions beside what was to be reached, from their cards."""
    rows = ["| version | | target | measured | |", "|---|---|---|---|---|"]

    def add(name: str, what: str, target: str, measured: str, is_reached: bool) -> None:
        rows.append(f"| `{name}` | {what} | {target} | {measured} | {'reached' if is_reached else 'missed'} |")

    for name, before in {"cnn": 0.9973, "lstm": 0.9952, "mlp": 0.9937}.items():
        measured = card(name)["metrics"]
        share = measured["accuracy"]
        high = binomtest(round(share * measured["images"]), measured["images"]).proportion_ci(method="wilson").high
        add(name, "test images read right", f"no loss ({percent(before)} before)", percent(share), high >= before)
        add(name, "calibration (ECE)", "0.5 % at most", percent(measured["ece"]), measured["ece"] <= 0.005)
    corrupted = card("cnn")["metrics"]["accuracy_corrupted"]
    add("cnn", "corrupted test images read right", "97 %", percent(corrupted), corrupted >= 0.97)
    edge = version_in(STORE, "cnn/edge")
    told, size = stored(edge)["metrics"]["accuracy"], (edge / "assets.extra" / "model.tflite").stat().st_size
    add("cnn/edge", "test images read right", "99.5 %", percent(told), told >= 0.995)
    add("cnn/edge", "bytes of the file that predicts", "20,000 at most", f"{size:,}", size <= 20_000)
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


def named(method: str, **options: Any) -> str:
    """Known causes that a method named in the trials of the shipped versions that tried it with these options."""
    right = tried = 0
    for name in MODELS:
        trial = json.loads((shipped(name) / "assets.extra" / "trial.json").read_text())
        for one in trial["methods"]:
            if one["method"] == method and all(one["options"][key] == value for key, value in options.items()):
                right, tried = right + sum(one["named"].values()), tried + trial["pictures"] * len(one["named"])
    return f"{right} of {tried}"


def facts() -> dict[str, str]:
    """The README's few figures, from the cards and the last runs of the benchmarks."""
    of = {goal.what: goal.measured for goal in goals("explanations") + goals("serving")}
    rows = cells(reading_table())[1:]
    (strangers,) = [row for row in rows if row[0] == "pictures by strangers"]
    kinds = [row for row in rows if row is not strangers]
    ours, tutorial = ([float(row[column]) for row in kinds] for column in (1, 2))
    parts = {part: goals(part) for part in ("explanations", "serving", "reading")}
    reached = {part: sum(goal.verdict == "reached" for goal in found) for part, found in parts.items()}
    return {
        "accuracies": ", ".join(f"`{name}` {percent(card(name)['metrics']['accuracy'])}" for name in MODELS),
        "kinds": str(len(kinds)),
        "ours": f"{min(ours):g}–{max(ours):g} %",
        "tutorial": f"{min(tutorial):g}–{max(tutorial):g} %",
        "strangers": next(row[1] for row in cells(section("reading", "Kind by kind")) if row[0] == strangers[0]),
        "strangers_ours": f"{strangers[1]} %",
        "strangers_tutorial": f"{strangers[2]} %",
        "named": named("shapley", baseline="typical", within="slopes"),
        "named_black": named("integrated_gradients", baseline="black"),
        "named_grad_cam": named("grad_cam"),
        "shapley": of["exact `shapley`, median of the test digits"],
        "digits": re.findall(r"over (\d+) test digits", results("explanations"))[0],
        "lime": of[f"`lime`: times faster than {LIME}"],
        "lime_difference": of[f"`lime`: largest difference from {LIME}"],
        "cores": re.findall(r"(\d+) cores", results("serving"))[0],
        "rates": ", ".join(f"{row[2]} ({row[0]})" for row in cells(rates_table()) if row[1] == "Inkling"),
        "start": of["first prediction, after a start"],
        "memory": of["memory of a worker that only predicts"],
        "memory_explained": of["memory of a worker that has explained by every method with every net"],
        **{part: f"{reached[part]}/{len(found)}" for part, found in parts.items()},
    }


ENGLISH = """\
- Of MNIST's 10,000 test images the nets read right: {accuracies}.
- Of {kinds} kinds of photos, scans, forms, boards and drawings the `cnn` reads {ours} right; with the preprocessing of
  common tutorials, {tutorial}.
- Of {strangers} pictures by strangers it reads {strangers_ours} right; with the tutorials' preprocessing,
  {strangers_tutorial}.
- Where the cause is known, `shapley` names it in {named} pictures, over three nets and five kinds of cause; integrated
  gradients from empty paper, as most packages compute them, in {named_black}, Grad-CAM in {named_grad_cam}.
- Exact Shapley values take {shapley}, the median of {digits} test digits.
- LIME: {lime} times faster than the `lime` package, with coefficients that differ by {lime_difference} at most.
- Predictions a second on {cores} cores: {rates}.
- First prediction {start} after the start; a worker takes {memory}, and {memory_explained} once it has explained by
  every method.
- Targets that we set ourselves and reached: {explanations} for explaining, {serving} for serving, {reading} for reading
  pictures.
"""
CHINESE = """\
- MNIST 的 10,000 张测试图，各网络读对：{accuracies}。
- {kinds} 类照片、扫描、表格、黑板白板和手绘，`cnn` 读对 {ours}；用常见教程的预处理是 {tutorial}。
- 陌生人的 {strangers} 张图片，读对 {strangers_ours}；用教程的预处理是 {strangers_tutorial}。
- 在原因已知的图片上（三个网络，五类原因），`shapley` 指出原因的有 {named} 张；多数软件包那样以空白纸为基线的积分梯度有
  {named_black} 张，Grad-CAM 有 {named_grad_cam} 张。
- 精确的 Shapley 值用时 {shapley}（{digits} 个测试数字的中位数）。
- LIME 比 `lime` 包快 {lime} 倍，系数最多相差 {lime_difference}。
- {cores} 核上每秒预测数：{rates}。
- 启动后 {start} 得到第一个预测；一个工作进程占 {memory}，用过所有方法之后占 {memory_explained}。
- 我们给自己定的目标，达到的有：解释 {explanations}，服务 {serving}，读图 {reading}。
"""


TABLES: dict[str, Callable[[], str]] = {
    "figures": lambda: ENGLISH.format(**facts()),
    "figures_zh": lambda: CHINESE.format(**facts()),
    "models": models_table,
    "trained": trained_table,
    "speed": speed_table,
    "serving": serving_table,
    "rates": rates_table,
    "reading": reading_table,
    "nets": lambda: nets_page.document(nets_page.figures()),
    "options": options_table,
    "metrics": metrics_table,
    "settings": lambda: f"| variable | default | |\n|---|---|---|\n{settings_table()}\n",
}
