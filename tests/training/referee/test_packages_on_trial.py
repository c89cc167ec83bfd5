"""Entrants of a trial: a net whose cause is known finds out a broken one; packages are asked as ours are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from server.explainers.saliency import Saliency
from server.types import Model, Target, TrackRecord
from tests.support.models.fakes import Fake, make_card
from tests.training.referee.test_referee import ASKED, Templates, Turned, digits
from training.architectures import ARCHITECTURES
from training.referee.packages import Entrant, entrants, told
from training.referee.planted import SIDE, planted
from training.referee.siblings import KerasModel, save
from training.referee.trial import Asked, on_planted, own


def asked(model: Model) -> Asked:
    pictures = planted("mark", digits(), 1, False)
    return Asked(model, lambda: pytest.fail("no SavedModel is needed"), pictures.images, pictures.labels)


def test_a_broken_twin_is_flagged_and_the_right_method_is_not() -> None:
    twins: list[Any] = [Saliency(), Turned()]
    right, wrong = on_planted(Templates("mark"), "mark", digits(), twins).values()
    flagged = [TrackRecord(score.named, ASKED, yardstick=1, ink=0).flagged for score in (right, wrong)]
    assert flagged == [False, True]


def test_lime_is_asked_by_its_name_and_finds_the_cause_only_where_it_is_a_segment() -> None:
    model = Templates("mark")
    found = on_planted(model, "mark", digits(), entrants(("lime",), asked(model)))
    assert list(found) == [
        "lime LimeImageExplainer",
        "lime LimeImageExplainer of logits",
        "lime LimeImageExplainer, kernel_size=1 hide_color=0",
    ]
    defaults, _, fine = found.values()
    assert defaults.chance["mark"] > fine.chance["mark"] + 0.2  # one or two segments touch nearly everything
    assert fine.named["mark"] > ASKED * fine.chance["mark"]


def test_ours_are_asked_what_the_model_can_do() -> None:
    model = Templates("mark")
    model.verbs = frozenset({"forward"})
    assert {explainer.name for explainer in own(asked(model))} == {"shapley", "lime", "occlusion", "rise"}


def test_maps_that_were_told_are_handed_out_by_picture() -> None:
    images = np.random.default_rng(0).random((2, 4, 4)).astype(np.float32)
    halves = np.repeat([3.0, -1.0], 8)
    target = Target.of_class(0, ("0", "1", "2"))
    pixels = Entrant("theirs", told(images, [halves.tolist(), list(range(16))], by_segment=False))
    (second,) = pixels.refine(Fake(), images[1], target, 0)
    assert second.segments is None and second.values.tolist() == np.arange(16.0).reshape(4, 4).tolist()
    segments = Entrant("theirs", told(images, [halves.tolist(), halves.tolist()], by_segment=True))
    (first,) = segments.refine(Fake(), images[0], target, 0)
    assert first.segment_values is not None and first.segment_values.tolist() == [-1.0, 3.0]
    assert first.painted.ravel().tolist() == halves.tolist()


@pytest.mark.parametrize(("architecture", "options"), [("mlp", {"units": (8,)}), ("cnn", {"filters": (2,)})])
def test_a_saved_sibling_gives_the_logits_that_were_explained(
    tmp_path: Path, architecture: str, options: dict[str, object]
) -> None:
    net = ARCHITECTURES[architecture](SIDE, SIDE, 10, **options)
    model = KerasModel(net, make_card(side=SIDE, classes=10))
    serve = tf.saved_model.load(str(save(model, tmp_path))).signatures["serving_default"]
    images = digits()[:3]
    logits = serve(images=tf.constant(images))["logits"].numpy()
    assert logits == pytest.approx(model.forward(images), abs=1e-4)
    assert logits.sum(axis=1) == pytest.approx(np.zeros(3), abs=1e-4)
