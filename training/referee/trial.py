"""Puts a version on trial: which explanation methods name a cause that is known, and whose order of pixels is best.

Causes are known only of nets that were made for it, so small siblings of the version's architecture are asked
(siblings.py, planted.py); the order of pixels is judged on the version itself (yardstick.py). What is asked is what
the server runs: its explainers, with the options that people get, and the best known others.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, is_dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np

from server.explainers import EXPLAINERS
from server.types import Array, Attribution, Explainer, Model, Target
from training import quiet
from training.errors import TrialError
from training.referee import maps
from training.referee.planted import planted
from training.referee.yardstick import Yardstick, summed_up

SEED = 1  # of the pictures that are asked about
PICTURES = 60  # of each kind
DIGITS = 500  # of the yardstick
DRAWN_ON = 12000  # digits that a sibling's pictures are drawn on
PART = 50  # digits of the yardstick that one process does at once
CONTROLS = ("ink", "random")  # orders of pixels that explain nothing
KINDS = ("mark", "missing", "conjunction", "decoy", "background")
CONFIGURATIONS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    *((name, {}) for name in EXPLAINERS),
    ("shapley", {"within": "even"}),
    ("shapley", {"grid": 4, "baseline": "black"}),
    ("lime", {"segmentation": "slic"}),
    ("lime", {"segmentation": "quickshift", "baseline": "colours"}),
    ("lime", {"compat": True}),
    ("integrated_gradients", {"baseline": "black"}),
)
"""Each method by its defaults, and with other options."""


@dataclass
class Score:
    """How often one configuration named the cause, and how its map lay on it, by kind; and its yardstick by digit."""

    named: dict[str, int] = field(default_factory=dict)
    chance: dict[str, float] = field(default_factory=dict)
    auroc: dict[str, float] = field(default_factory=dict)
    share: dict[str, float] = field(default_factory=dict)
    areas: list[Array] = field(default_factory=list)


@dataclass(frozen=True)
class Subject:
    """What is on trial: a version's folder, its architecture and options."""

    folder: Path
    architecture: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """What is asked of all: a model, where it is as a SavedModel, images (n, H, W) and the classes (n,) to explain."""

    model: Model
    folder: Callable[[], Path]
    images: Array
    labels: Array


Entrants = Callable[[Asked], Sequence[Explainer]]
"""Who explains. A function of a module: processes are handed it by its name."""


def own(asked: Asked) -> list[Explainer]:
    """The configurations of CONFIGURATIONS that the model can do."""
    return explainers_for(asked.model.verbs)


def explainers_for(verbs: frozenset[str]) -> list[Explainer]:
    """The configurations that a model with these verbs can do."""
    found = [(EXPLAINERS[name], options) for name, options in CONFIGURATIONS]
    return [explainer(**options) for explainer, options in found if explainer.needs <= verbs]


def key_of(explainer: Explainer) -> str:
    """A name for a configuration: the method with all its options that are not the default."""
    if not is_dataclass(explainer):
        return explainer.name
    default = asdict(cast(Any, type(explainer)()))
    other = [f"{name}={value}" for name, value in asdict(cast(Any, explainer)).items() if value != default[name]]
    return "&".join([explainer.name, *other])


def last(attributions: Iterator[Attribution]) -> Attribution:
    """What a method ends with."""
    *_, found = attributions
    return found


def on_planted(model: Model, kind: str, digits: Array, explainers: Sequence[Explainer]) -> dict[str, Score]:
    """Each of the explainers asked of a net that follows causes of `kind`, drawn on the digits (n, 28, 28)."""
    pictures = planted(kind, digits, SEED, False)
    scores: dict[str, Score] = {}
    for explainer in explainers:
        named, measures = 0, []
        for number, (image, label, cause) in enumerate(
            zip(pictures.images, pictures.labels, pictures.causes, strict=True)
        ):
            found = last(explainer.refine(model, image, Target.of_class(int(label), model.card.classes), 0))
            named += maps.names(found, cause, number)
            measures.append((maps.chance(found, cause), maps.auroc(found, cause), maps.share(found, cause)))
        chance, auroc, share = np.mean(measures, axis=0)
        scores[key_of(explainer)] = Score({kind: named}, {kind: chance}, {kind: auroc}, {kind: share})
    return scores


def put_on_trial(subject: Subject, train: Array, test: Array, pictures: int = PICTURES, digits: int = DIGITS,
                 kinds: Sequence[str] = KINDS, processes: int | None = None,
                 entrants: Entrants = own) -> dict[str, Any]:  # fmt: skip
    """The trial of a version as its file says it (model_store/README.md); siblings are drawn on `train` images
    (n, 28, 28), and asked about pictures drawn on `test` images, of which the yardstick takes other ones; without
    `digits` there is no yardstick. `entrants` are ours, or others'."""
    asked, judged = test[:pictures], test[pictures : pictures + digits]
    parts = [judged[start : start + PART] for start in range(0, len(judged), PART)]
    with ProcessPoolExecutor(processes or os.cpu_count(), get_context("spawn"), initializer=_begin) as pool:
        of_kinds = [pool.submit(_try_kind, subject, kind, train[:DRAWN_ON], asked, entrants) for kind in kinds]
        of_digits = [pool.submit(_try_digits, subject, part, entrants) for part in parts]
        siblings: list[dict[str, Any]] = []
        scores: dict[str, Score] = {}
        spans: list[Array] = []
        for found in of_kinds:
            sibling, named = found.result()
            siblings.append(sibling)
            for key, score in named.items():
                merged = scores.setdefault(key, Score())
                for name in ("named", "chance", "auroc", "share"):
                    getattr(merged, name).update(getattr(score, name))
        for part in of_digits:
            areas, part_spans = part.result()
            spans += part_spans
            for key, values in areas.items():
                scores.setdefault(key, Score()).areas.extend(values)
    return _record(siblings, scores, np.array(spans), pictures)


def _record(siblings: list[dict[str, Any]], scores: Mapping[str, Score], spans: Array, pictures: int) -> dict[str, Any]:
    every = explainers_for(frozenset({"forward", "gradient", "features", "feature_map", "attention"}))
    ours = {key_of(explainer): explainer for explainer in every}
    methods = []
    for key, score in scores.items():
        if key in CONTROLS or len(score.named) < len(siblings) or len(score.areas) < len(spans):  # it failed somewhere
            continue
        methods.append(
            {
                **(_facts(ours[key]) if key in ours else {"method": key, "options": {}}),
                "named": score.named,
                **{name: _rounded(getattr(score, name)) for name in ("chance", "auroc", "share")},
                **(_measured(score.areas, spans) if len(spans) else {}),
            }
        )
    names = CONTROLS if len(spans) else ()
    controls = {name: _measured(scores[name].areas, spans)["yardstick"] for name in names}
    return {
        "pictures": pictures,
        "digits": len(spans),
        "siblings": siblings,
        "controls": controls,
        "methods": methods,
    }


def _measured(areas: Sequence[Array], spans: Array) -> dict[str, Any]:
    mean, half = summed_up(np.array(areas), spans)
    return {"yardstick": round(mean, 3), "yardstick_interval": [round(mean - half, 3), round(mean + half, 3)]}


def _facts(explainer: Explainer) -> dict[str, Any]:
    return {"method": explainer.name, "revision": explainer.revision, "options": asdict(cast(Any, explainer))}


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(float(value), 3) for name, value in values.items()}


# What the processes do. They import TensorFlow, with one thread each.


def _begin() -> None:
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    quiet.import_tensorflow()


def _try_kind(
    subject: Subject, kind: str, train: Array, asked: Array, entrants: Entrants
) -> tuple[dict[str, Any], dict[str, Score]]:
    from training.referee.siblings import save
    from training.referee.siblings import train as train_sibling

    sibling = train_sibling(subject.architecture, subject.options, kind, train)
    if not sibling.follows:
        raise TrialError(
            f"the sibling for {kind} does not follow its cause: {sibling.accuracy:.3f} right with it, "
            f"{sibling.without:.3f} without; nothing can be said of the methods"
        )
    facts = {
        "kind": kind,
        "classes": len(sibling.model.card.classes),
        **{name: round(getattr(sibling, name), 4) for name in ("accuracy", "without", "chance")},
    }
    pictures = planted(kind, asked, SEED, False)
    with TemporaryDirectory() as place:
        folder = cache(lambda: save(sibling.model, Path(place)))
        explainers = entrants(Asked(sibling.model, folder, pictures.images, pictures.labels))
        return facts, on_planted(sibling.model, kind, asked, explainers)


def _try_digits(subject: Subject, digits: Array, entrants: Entrants) -> tuple[dict[str, list[Array]], list[Array]]:
    """The yardstick's areas by configuration, and the spans, of each of the digits (n, 28, 28)."""
    from training.referee.versions import opened

    model = opened(subject.folder)
    labels = model.forward(digits).argmax(axis=1)
    explainers = entrants(Asked(model, lambda: subject.folder, digits, labels))
    areas: dict[str, list[Array]] = {}
    spans = []
    for image, label in zip(digits, labels, strict=True):
        target = Target.of_class(int(label), model.card.classes)
        yardstick = Yardstick(model, image, target)
        spans.append(yardstick.spans)
        for explainer in explainers:
            painted = last(explainer.refine(model, image, target, 0)).painted
            areas.setdefault(key_of(explainer), []).append(yardstick(painted))
        random = np.random.default_rng(0).random(image.shape)
        for name, order in zip(CONTROLS, (image, random), strict=True):
            areas.setdefault(name, []).append(yardstick(order))
    return areas, spans
