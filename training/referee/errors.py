"""python -m training referee --errors: whether explanations are as far off as their certificates say (calibration).

Every method that tells standard errors explains pictures from many seeds; what it says is compared with the truth: the
exact answer where there is one, else the mean of runs with very many samples. Of `lime` that is the mean of many runs
with as many samples: its ridge penalty moves them alike, which `bias_max` tells, and no standard error.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from server.explainers import EXPLAINERS
from server.inference.certificate import top_order_probability
from server.models.card import read_card
from server.models.interpreters import InterpreterPool
from server.models.litert import explaining_model
from server.models.wrappers import ProbabilityModel
from server.types import Array, Attribution, Explainer, Model, Target

MEMORY = 256 << 20  # bytes of interpreters
TRUTH_SEED = 1 << 20  # of the runs that stand for the truth; those that are judged begin at 0
ROUNDING = 1e-6  # of the largest deviation: what is smaller, and told to be certain, is float32's
HEADS = ("told/true", "within 1", "within 2", "top3 right", "top3 told")


Truths = dict[tuple[Explainer, int, str, int], Array]
"""By whom, from how many runs, of which output, of which image -> the true values."""


@dataclass(frozen=True)
class Case:
    """A method with its options; and how its truth is had: the options that differ, and over how many runs the mean
    is taken."""

    method: str
    options: dict[str, Any] = field(default_factory=dict)
    true: dict[str, Any] = field(default_factory=dict)
    runs: int = 1
    output: str = "logit"

    @property
    def name(self) -> str:
        options = [f"{name}={value}" for name, value in self.options.items()]
        return "&".join([self.method, *options, *["output=probability"] * (self.output == "probability")])


def _noisy(method: str) -> list[Case]:
    true: dict[str, Any] = {"n_samples": 2000}
    few = [Case(method, {"n_samples": n_samples}, true, runs=2) for n_samples in (4, 10, 50)]
    return [*few, Case(method, {"n_samples": 50}, true, runs=2, output="probability")]


CELLS = {"segmentation": "grid", "n_segments": 49}  # of a digit half have ink
CASES = (
    Case("shapley", {"max_rows": 256}, {"max_rows": 32768}),
    Case("shapley", {"max_rows": 512}, {"max_rows": 32768}, output="probability"),
    Case("shapley", {"grid": 5, "max_rows": 512}, {"max_rows": 32768}),
    Case("lime", {"n_samples": 100}, runs=100),
    Case("lime", runs=100),
    Case("lime", runs=100, output="probability"),
    Case("lime", {**CELLS, "n_samples": 100}, runs=100),
    Case("rise", {"n_samples": 200}, {"n_samples": 8000}),
    Case("rise", {}, {"n_samples": 8000}, runs=2),
    Case("rise", {"keep": 0.2}, {"n_samples": 8000}, runs=2),
    *_noisy("smooth_grad"),
    *_noisy("square_grad"),
    *_noisy("var_grad"),
    Case("expected_gradients", {}, {"n_samples": 4000, "tolerance": 1e-6}),
    Case("expected_gradients", {"n_samples": 600, "tolerance": 1e-6}, {"n_samples": 4000}),
    Case("expected_gradients", {}, {"n_samples": 4000, "tolerance": 1e-6}, output="probability"),
)


@dataclass(frozen=True)
class Row:
    """How far what one case tells on one net is to be trusted, over pictures and seeds."""

    model: str
    case: str
    told_over_true: float  # the root mean square of standard errors, over that of deviations
    within_1: float  # share of values at most one standard error off; .683 of a normal error
    within_2: float  # at most two; .954
    top3_right: float  # share of runs whose three strongest are the true ones in their order
    top3_told: float  # the mean of what their certificates say of it


def measure(folders: Iterable[Path], images: Array, seeds: int = 20, cases: Sequence[Case] = CASES) -> Iterator[Row]:
    """A row for each version and each case that it can do and that is not exact, over images (n, H, W) and as many
    seeds for each; versions side by side."""
    with ThreadPoolExecutor() as pool:
        for rows in pool.map(lambda folder: _of_version(folder, images, seeds, cases), folders):
            yield from rows


def _of_version(folder: Path, images: Array, seeds: int, cases: Sequence[Case]) -> list[Row]:
    card = read_card(folder)
    model = explaining_model(folder, card, InterpreterPool(MEMORY))
    possible = [case for case in cases if EXPLAINERS[case.method].needs <= model.verbs]
    truths: Truths = {}
    return [row for case in possible if (row := judged(model, images, seeds, case, truths))]


def judged(model: Model, images: Array, seeds: int, case: Case, truths: Truths | None = None) -> Row | None:
    """What `case` tells of `model` against the truth; None where it is exact for all images. `truths` are those that
    are known."""
    truths = {} if truths is None else truths
    seen = ProbabilityModel(model) if case.output == "probability" else model
    explainer = EXPLAINERS[case.method](**case.options)
    truth_by = EXPLAINERS[case.method](**{**case.options, **case.true})
    deviations: list[Array] = []
    errors: list[Any] = []
    right: list[bool] = []
    told: list[Any] = []
    for index, image in enumerate(images):
        target = Target.of_class(int(model.forward(image[None]).argmax()), model.card.classes)
        found = [_last(explainer, seen, image, target, seed) for seed in range(seeds)]
        if found[0].state == "exact":
            continue
        key = (truth_by, case.runs, case.output, index)
        if key not in truths:
            runs = [_last(truth_by, seen, image, target, TRUTH_SEED + run).ranked[0] for run in range(case.runs)]
            truths[key] = np.mean(runs, axis=0)
        truth = truths[key]
        deviations += [one.ranked[0] - truth for one in found]
        errors += [one.ranked[1] for one in found]
        right += [_top3(one.ranked[0]) == _top3(truth) for one in found]
        told += [top_order_probability(one) for one in found]
    if not deviations:
        return None
    off, said = np.abs(np.concatenate(deviations)), np.concatenate(errors)
    uncertain = (said > 0) | (off > ROUNDING * off.max())
    off, said = off[uncertain], said[uncertain]
    return Row(
        model.card.name,
        case.name,
        told_over_true=float(np.sqrt(np.square(said).mean() / np.square(off).mean())),
        within_1=float((off <= said).mean()),
        within_2=float((off <= 2 * said).mean()),
        top3_right=float(np.mean(right)),
        top3_told=float(np.mean(told)),
    )


def _last(explainer: Explainer, model: Model, image: Array, target: Target, seed: int) -> Attribution:
    *_, found = explainer.refine(model, image, target, seed)
    return found


def _top3(values: Array) -> tuple[int, ...]:
    return tuple(np.argsort(-np.abs(values), kind="stable")[:3].tolist())


def table(rows: Iterable[Row]) -> str:
    """The rows in Markdown."""
    lines = [("net", "method", *HEADS), ("---",) * (2 + len(HEADS))]
    for row in rows:
        numbers = (row.told_over_true, row.within_1, row.within_2, row.top3_right, row.top3_told)
        lines.append((row.model, f"`{row.case}`", *(f"{number:.3f}" for number in numbers)))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
