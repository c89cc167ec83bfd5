"""POST /v1/adversarial: what is found is what is served, in every format, and every mistake is reported."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image

from server.attacks import ATTACKS, describe_attacks
from server.attacks.margin import FLIPPED
from server.attacks.pgd import Pgd
from server.attacks.types import AdversarialExample, AttackResult
from server.models.wrappers import probabilities_of
from server.render.attack.panels import sheet
from server.render.legend import Text
from server.render.png import ANCHORS, _font, drawable
from server.types import (
    Array,
    Digit,
    InDistribution,
    ModelCard,
    Placement,
    Prediction,
)
from tests.conftest import MakeApp
from tests.routes.test_http_limits import Slow, only_version_1
from tests.support.answers import MODEL, check_error, errors_in, logits, post_predict
from tests.support.models.fakes import Fake, Linear
from tests.support.models.stores import CLASSES, SEVEN, draw_seven, encoded, form, write_version
from tests.support.processes.servers import ROOT, Running, ask
from tests.test_app import Gate, loaded

GREY = np.full((28, 28), 0.5, np.float32)
GREY[0, :2] = 0.44, 0.56  # or it were blank
LOSER = int(logits().argmax())
OTHER = (LOSER + 1) % CLASSES
IN_VAIN = f"method=deepfool&limit=0.1&target={OTHER}"  # nothing is found that near
NOTHING = ("class", "label", "probability", "probabilities", "pixels", "change", "l2", "linf")


def attacked(client: FlaskClient, query: str = "", **sent: Any) -> dict[str, Any]:
    response = client.post(f"/v1/adversarial{query}", **(sent or {"data": SEVEN}))
    assert response.status_code == 200, response.data
    return response.get_json()


def posted_back(client: FlaskClient, pixels: list[list[float]]) -> dict[str, Any]:
    return client.post("/v1/predict", json={"pixels": pixels}).get_json()


def check_told(answer: dict[str, Any], again: dict[str, Any]) -> None:
    """The prediction of the changed picture is the reported one, and it is another one."""
    found = answer["adversarial"]
    assert found["found"] is True
    assert again["prediction"] == {name: found[name] for name in ("class", "label", "probability")}
    assert again["probabilities"] == found["probabilities"]
    assert again["prediction"]["class"] != answer["prediction"]["class"]


@pytest.mark.parametrize(
    ("method", "size", "norm", "rel"),
    [
        ("deepfool", "l2", np.linalg.norm, 0.01),
        ("pgd", "linf", lambda w: np.abs(w).sum(), 0.05),
        ("fgsm", "linf", lambda w: np.abs(w).sum(), 0.05),
    ],
)
def test_the_nearest_flip_of_a_linear_model(client: FlaskClient, method: str, size: str, norm: Any, rel: float) -> None:
    """From grey, where no pixel meets an end, the border to class k lies at lead / |w_loser - w_k| in the dual norm."""
    scores = MODEL.forward(GREY[None])[0]
    loser = int(scores.argmax())
    slopes = MODEL.directions() - MODEL.directions()[loser]
    far = {k: (scores[loser] - scores[k] + FLIPPED) / norm(slopes[k]) for k in range(CLASSES) if k != loser}
    winner = min(far, key=lambda k: far[k])
    # one step of fgsm goes towards the class with the smallest lead, which need not be the nearest
    query = f"?method={method}" + (f"&target={winner}" if method == "fgsm" else "")
    found = attacked(client, query, json={"pixels": GREY.tolist()})["adversarial"]
    assert found["class"] == winner
    assert found[size] == pytest.approx(far[winner], rel=rel)


@pytest.mark.parametrize("target", [None, OTHER, (LOSER + 5) % CLASSES])
@pytest.mark.parametrize("method", ATTACKS)
def test_a_found_picture_posted_back_gets_the_same_answer(client: FlaskClient, method: str, target: int | None) -> None:
    query = f"?method={method}&limit={28 if method == 'deepfool' else 1}"
    answer = attacked(client, query if target is None else f"{query}&target={target}")
    found, before = answer["adversarial"], post_predict(client)
    assert {name: answer[name] for name in before} == before
    if method != "fgsm":  # one step need not reach every class
        assert found["found"] is True
    if not found["found"]:
        return
    check_told(answer, posted_back(client, found["pixels"]))
    if target is not None:
        assert (found["target"], found["class"]) == (target, target)
    change = np.array(found["change"])
    sent = np.array(found["pixels"]) - change
    assert posted_back(client, np.clip(sent, 0, 1).tolist())["prediction"]["class"] == before["prediction"]["class"]
    assert found["l2"] == pytest.approx(np.linalg.norm(change), rel=1e-6)
    assert found["linf"] == pytest.approx(np.abs(change).max(), rel=1e-6)
    assert found["rows"] > 0


class Leaning(Linear):
    """Surer of its answer than `Linear`: what flips that one does not flip this."""

    def logits(self, images: Array) -> Array:
        return super().logits(images) + 5.0 * (np.arange(CLASSES) == LOSER)


def leaning(path: Path, card: ModelCard) -> Fake:
    return Leaning(card, card.verbs)


@pytest.mark.parametrize("method", ATTACKS)
def test_the_model_that_predicts_is_the_one_that_is_flipped(make_app: MakeApp, method: str) -> None:
    client = make_app(load_twin=leaning).test_client()
    answer = attacked(client, f"?method={method}")
    check_told(answer, posted_back(client, answer["adversarial"]["pixels"]))


class Fickle(Linear):
    """Says of several pictures what it does not say of one."""

    def logits(self, images: Array) -> Array:
        return super().logits(images) + 1e4 * (len(images) > 1) * (np.arange(CLASSES) == OTHER)


def test_a_flip_that_the_service_would_not_answer_is_not_reported(make_app: MakeApp) -> None:
    client = make_app(load_twin=lambda path, card: Fickle(card, card.verbs)).test_client()
    assert attacked(client)["prediction"] == post_predict(client)["prediction"]
    found = attacked(client, "?limit=0.01")["adversarial"]
    assert found["found"] is False
    assert {found[name] for name in NOTHING} == {None}


def test_options_and_seed_reach_the_attack_and_the_answer(client: FlaskClient) -> None:
    assert attacked(client) == attacked(client, "?method=pgd&seed=0&limit=0.5&n_steps=20")
    found = attacked(client, "?limit=0.25&n_steps=7&seed=3")["adversarial"]
    assert (found["method"], found["options"], found["seed"]) == ("pgd", {"limit": 0.25, "n_steps": 7}, 3)
    assert found["target"] is None
    other = attacked(client, "?limit=0.25&n_steps=7&seed=4")["adversarial"]
    assert found["pixels"] != other["pixels"]
    assert found["pixels"] == attacked(client, "?limit=0.25&n_steps=7&seed=3")["adversarial"]["pixels"]


def test_where_none_is_found_nothing_is_claimed(client: FlaskClient) -> None:
    answer = attacked(client, f"?{IN_VAIN}")
    found = answer["adversarial"]
    assert found["found"] is False and found["rows"] > 0
    assert [found[name] for name in NOTHING] == [None] * len(NOTHING)
    assert (found["target"], found["options"]["limit"]) == (OTHER, 0.1)
    for words in ("deepfool", "limit=0.1", f"answered {OTHER}", "may exist", "raise limit"):
        assert words in answer["alt"]


def test_words_tell_both_answers_and_the_size(client: FlaskClient) -> None:
    answer = attacked(client)
    found = answer["adversarial"]
    assert answer["alt"].startswith(f"Predicted {LOSER} (")
    for words in (f"L2 {found['l2']:.3g}", f"largest {found['linf']:.3g} of ink", f"answered {found['label']} ("):
        assert words in answer["alt"]


@pytest.mark.parametrize(
    ("query", "status", "code", "words"),
    [
        ("methd=pgd", 400, "unknown_option", ("'methd'", "'method'")),
        ("n_step=3", 400, "unknown_option", ("'n_step'", "'n_steps'", "pgd")),
        ("method=fgsm&n_steps=3", 400, "unknown_option", ("'n_steps'", "fgsm")),
        ("frame=model", 400, "unknown_option", ("'frame'",)),
        ("versus=1", 400, "unknown_option", ("'versus'",)),
        ("limit=0.3&limit=0.4", 400, "invalid_option", ("2 times",)),
        ("limit=0", 400, "invalid_option", ("limit='0'", "0.01 to 1")),
        ("method=deepfool&limit=29", 400, "invalid_option", ("limit='29'", "0.1 to 28")),
        ("limit=nan", 400, "invalid_option", ("a number",)),
        ("n_steps=1.5", 400, "invalid_option", ("whole number", "1 to 200")),
        ("seed=-1", 400, "invalid_option", ("seed",)),
        ("budget_ms=0", 400, "invalid_option", ("budget_ms", "30000")),
        ("preprocess=no", 400, "invalid_option", ("auto, none",)),
        ("target=ten", 400, "invalid_option", ("target='ten'", "expected one of 0, 1")),
        (f"target={LOSER}", 400, "invalid_option", (f"target={LOSER}", "already", "another class")),
        ("format=gif", 400, "invalid_option", ("format='gif'",)),
        ("format=svg", 406, "not_acceptable", ("format=svg", "application/json, image/png, application/x-npz")),
        ("method=cw", 404, "unknown_method", ("'cw'", "pgd, deepfool, fgsm")),
        ("model=cmn", 404, "unknown_model", ("'cmn'", "fake, plain")),
        ("version=9", 404, "unknown_model", ("'9'",)),
    ],
)
def test_a_callers_mistake(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, query: str, status: int, code: str, words: tuple[str, ...]
) -> None:
    check_error(client.post(f"/v1/adversarial?{query}", data=SEVEN), status, code, words)
    assert not errors_in(caplog)
    assert attacked(client)["adversarial"]["found"] is True


def test_mistakes_beyond_the_query(client: FlaskClient) -> None:
    check_error(client.get("/v1/adversarial"), 405, "method_not_allowed", ("POST",))
    check_error(client.post("/v1/adversarial"), 400, "empty_body")
    check_error(client.post("/v1/adversarial", data=b"%PDF-1.7"), 415, "unsupported_image")
    for accept in ("image/svg+xml", "text/html"):
        refused = client.post("/v1/adversarial", data=SEVEN, headers={"Accept": accept})
        check_error(refused, 406, "not_acceptable", (accept, "application/json, image/png"))


def test_a_model_without_gradients_cannot_be_attacked(make_app: MakeApp, tmp_path: Path) -> None:
    write_version(tmp_path, verbs=frozenset({"forward"}))
    client = make_app(model_store=tmp_path).test_client()
    check_error(client.post("/v1/adversarial", data=SEVEN), 422, "method_not_possible", ("fake", "gradient"))
    assert [attack["models"] for attack in client.get("/v1/methods").get_json()["attacks"]] == [[], [], []]


def test_a_loading_model_is_not_ready(make_app: MakeApp) -> None:
    gate = Gate()
    client = make_app(gate, wait=False).test_client()
    try:
        response = client.post("/v1/adversarial", data=SEVEN)
        check_error(response, 503, "not_ready", ("fake version 2", "loading"))
        assert int(response.headers["Retry-After"]) >= 1
    finally:
        gate.open.set()
        loaded()
    assert attacked(client)["adversarial"]["found"] is True


def test_no_time(make_app: MakeApp) -> None:
    client = make_app(load_twin=only_version_1(Slow)).test_client()
    late = client.post("/v1/adversarial?version=1&budget_ms=1", data=SEVEN)
    check_error(late, 504, "out_of_time", ("within 1 ms", "budget_ms"))
    assert attacked(client)["adversarial"]["found"] is True


def test_several_pictures_are_answered_in_order_each_with_its_own_error(client: FlaskClient) -> None:
    turned = encoded(draw_seven().transpose(Image.Transpose.ROTATE_90))
    target = post_predict(client)["prediction"]["class"]
    single = attacked(client, f"?target={target}", data=turned)
    response = client.post(f"/v1/adversarial?target={target}", data=form(turned, b"%PDF-1.7", SEVEN, turned))
    assert response.status_code == 200
    first, bad, already, last = response.get_json()["results"]
    assert first == last == single
    assert (bad["code"], already["code"]) == ("unsupported_image", "invalid_option")
    refused = client.post("/v1/adversarial?format=png", data=form(SEVEN, turned))
    check_error(refused, 406, "not_acceptable", ("2", "image/png", "JSON"))


def test_attacks_are_listed_with_the_models_that_they_fit(client: FlaskClient) -> None:
    listed = client.get("/v1/methods").get_json()["attacks"]
    assert listed == [{**attack, "models": ["fake", "plain"]} for attack in describe_attacks()]
    assert [attack["name"] for attack in listed] == ["pgd", "deepfool", "fgsm"]
    assert {one["name"] for one in listed[0]["options"]} == {"limit", "n_steps"}


@pytest.mark.parametrize("query", ["", f"&{IN_VAIN}"])
def test_a_png_holds_its_alt_text(client: FlaskClient, query: str) -> None:
    response = client.post(f"/v1/adversarial?format=png{query}", data=SEVEN)
    assert response.content_type == "image/png" and response.headers["Vary"] == "Accept, Accept-Language"
    with Image.open(io.BytesIO(response.data)) as picture:
        assert picture.text["Description"] == attacked(client, f"?{query[1:]}")["alt"]  # type: ignore[attr-defined]
    accepting = client.post(f"/v1/adversarial?{query[1:]}", data=SEVEN, headers={"Accept": "image/png"})
    assert accepting.data == response.data


def test_an_npz_holds_what_the_json_does(client: FlaskClient) -> None:
    response = client.post("/v1/adversarial?format=npz", data=SEVEN)
    assert response.content_type == "application/x-npz"
    answer = attacked(client)
    with np.load(io.BytesIO(response.data), allow_pickle=False) as stored:
        assert np.array_equal(stored["pixels"], np.array(answer["adversarial"].pop("pixels"), np.float32))
        change = np.array(answer["adversarial"].pop("change"))
        assert stored["pixels"].astype(float) - stored["image"] == pytest.approx(change, abs=1e-7)
        assert int(stored["changed_logits"].argmax()) == answer["adversarial"]["class"]
        del answer["adversarial"]["image"]  # `pixels` is the same
        assert json.loads(str(stored["meta"])) == answer
    nothing = client.post(f"/v1/adversarial?format=npz&{IN_VAIN}", data=SEVEN)
    with np.load(io.BytesIO(nothing.data), allow_pickle=False) as stored:
        assert set(stored) == {"image", "logits", "meta"}


def shown(change: Array, **facts: Any) -> AttackResult:
    """As an attack on empty paper with a spot of half ink would leave it."""
    pixels = np.zeros((28, 28), np.float32)
    pixels[12:16, 12:16] = 0.5
    placement = Placement((1, 0, 0, 0, 1, 0), 28, 28, lambda: np.full((28, 28, 3), 255, np.uint8))
    scores = np.zeros((2, CLASSES))
    scores[0, 7], scores[1, 4] = 9, 1
    before, after = (
        Prediction(MODEL.card, int(row.argmax()), probabilities_of(row[None], 1)[0], row, InDistribution(True, 9, 1))
        for row in scores
    )
    size = (float(np.linalg.norm(change)), float(np.abs(change).max()))
    found = AdversarialExample((pixels + change).astype(np.float32), *size, 99)
    given: dict[str, Any] = {"adversarial": found, "changed": after, "seed": 0, "target_class": None} | facts
    return AttackResult(Digit(pixels, placement), before, Pgd(), **given)


def test_the_change_is_red_where_ink_is_added_blue_where_it_is_removed_and_white_elsewhere() -> None:
    change = np.zeros((28, 28))
    change[3, 5], change[13, 13], change[20, 20] = 0.3, -0.3, 0.03
    panel = sheet(shown(change)).panels[1].picture.astype(int)
    assert panel.shape == (280, 280, 3)
    added, removed, faint, none = (panel[10 * y + 2, 10 * x + 2] for y, x in ((3, 5), (13, 13), (20, 20), (25, 3)))
    assert added[0] > added[2] + 100
    assert removed[2] > removed[0] + 100
    assert 5 < faint[0] - faint[2] < 80
    assert none.tolist() == [255, 255, 255]


def test_the_digits_stand_before_and_after_and_titles_tell_answers_and_size() -> None:
    change = np.zeros((28, 28))
    change[3, 5] = 0.25
    drawn = sheet(shown(change))
    before, _, after = (one.picture[::10, ::10, 0].astype(int) for one in drawn.panels)
    assert before[3, 5] == 255 and after[3, 5] == round(255 * (1 - 0.9 * 0.25))
    assert before[13, 13] == after[13, 13] == round(255 * (1 - 0.9 * 0.5))
    words = [text.words for text in drawn.texts]
    for reported in ("7 (99.9 %)", "change: L2 0.25", "largest 0.25 of ink", "4 (23.2 %)", "-0.25", "0", "+0.25"):
        assert reported in words
    assert drawn.scale is not None
    x, _, width, _ = drawn.scale.bar
    assert drawn.scale.bar_colours[width // 2].min() >= 250 and drawn.scale.zero == x + width / 2


@pytest.mark.parametrize("strange", [False, True])
def test_nothing_on_the_sheet_overlaps_or_leaves_it(strange: bool) -> None:
    change = np.zeros((28, 28))
    change[3, 5] = -0.25
    there = shown(change)
    before = replace(there.prediction, in_distribution=InDistribution(not strange, 9, 1))
    none = replace(there, adversarial=AdversarialExample(None, None, None, 9), changed=None, target_class=4)
    for attacked in (there, none):
        drawn = sheet(replace(attacked, prediction=before))
        boxes = [(one.left, one.top, one.left + 280, one.top + 280) for one in drawn.panels]
        boxes += [box(text) for text in drawn.texts if text.words not in "+="]
        if drawn.scale is not None:
            x, y, width, height = drawn.scale.bar
            boxes.append((x, y, x + width, y + height))
        for number, (left, top, right, bottom) in enumerate(boxes):
            assert 0 <= left < right <= drawn.width and 0 <= top < bottom <= drawn.height
            for other in boxes[:number]:
                apart = right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
                assert apart, (number, boxes)
        assert any("Warning" in text.words for text in drawn.texts) is strange


def box(text: Text) -> tuple[float, float, float, float]:
    """Where its letters are, in the font that is drawn."""
    left, top, right, bottom = _font(text.size).getbbox(drawable(text.words), anchor=ANCHORS[text.anchor])
    return text.x + left, text.y + top, text.x + right, text.y + bottom


@pytest.mark.parametrize("model", ["cnn", "mlp", "lstm"])
@pytest.mark.parametrize("digit", range(10))
def test_shipped_nets_flip_as_reported(explaining: Running, model: str, digit: int) -> None:
    """By a change that is smaller than the digit itself: the trivial one would wipe it out."""
    body = (ROOT / "examples" / f"{digit}.png").read_bytes()
    status, _, answer = ask(f"{explaining.url}/v1/adversarial?method=pgd&model={model}", body)
    assert status == 200
    found = answer["adversarial"]
    again = json.dumps({"pixels": found["pixels"]}).encode()
    check_told(answer, ask(f"{explaining.url}/v1/predict?model={model}", again)[2])
    sent = np.array(found["pixels"]) - np.array(found["change"])
    assert answer["prediction"]["class"] == digit
    assert found["l2"] < np.linalg.norm(sent)
    assert found["linf"] <= 0.5
