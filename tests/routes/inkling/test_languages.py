"""Sentences in English and Chinese: by `lang`, by Accept-Language, and with the same id."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from server.render.language import LANGUAGES
from tests.conftest import MakeApp
from tests.support.models.stores import SEVEN

CALLS = (
    "/v1/explain?method=saliency",
    "/v1/explain?method=occlusion&quality=true",
    "/v1/compare?methods=saliency,occlusion",
)
TEXTS = ("alt", "verdict", "summary", "why")  # and the names of parts


@pytest.fixture
def client(make_app: MakeApp) -> FlaskClient:
    return make_app().test_client()


def asked(client: FlaskClient, call: str, **headers: str) -> Any:
    answer = client.post(call, data=SEVEN, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def is_chinese(text: str) -> bool:
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


@pytest.mark.parametrize("call", CALLS)
def test_lang_chooses_the_language_of_every_sentence_and_nothing_else(client: FlaskClient, call: str) -> None:
    english, chinese = (asked(client, f"{call}&lang={lang}") for lang in ("en", "zh"))
    assert (english.headers["Content-Language"], chinese.headers["Content-Language"]) == ("en", "zh")
    told = [list(sentences(answer.json)) for answer in (english, chinese)]
    assert told[0] and not any(map(is_chinese, told[0])) and all(map(is_chinese, told[1]))
    assert without_sentences(english.json) == without_sentences(chinese.json)


def sentences(value: Any) -> Any:
    match value:
        case dict():
            for name, one in value.items():
                if name in TEXTS or (name == "name" and "drop" in value):
                    yield one
                else:
                    yield from sentences(one)
        case list():
            for one in value:
                yield from sentences(one)


def without_sentences(value: Any) -> Any:
    match value:
        case dict():
            texts = {*TEXTS, "name"} if "drop" in value else TEXTS
            return {name: without_sentences(one) for name, one in value.items() if name not in texts}
        case list():
            return [without_sentences(one) for one in value]
    return value


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("zh-Hant-TW", "zh"),
        ("fr, de;q=0.5", "en"),
        ("fr, zh;q=0.5, en;q=0.2", "zh"),
        ("en-GB, zh;q=0.5", "en"),
    ],
)
def test_accept_language_is_followed(client: FlaskClient, accepted: str, language: str) -> None:
    answer = asked(client, CALLS[0], **{"Accept-Language": accepted})
    assert answer.headers["Content-Language"] == language and is_chinese(answer.json["alt"]) is (language == "zh")
    assert "Accept-Language" in answer.headers["Vary"]


def test_lang_stands_above_accept_language(client: FlaskClient) -> None:
    answer = asked(client, f"{CALLS[0]}&lang=en", **{"Accept-Language": "zh"})
    assert not is_chinese(answer.json["alt"])


def test_a_language_that_is_not_spoken_is_refused(client: FlaskClient) -> None:
    answer = client.post(f"{CALLS[0]}&lang=fr", data=SEVEN)
    assert answer.status_code == 400 and "en" in answer.json["error"] and "zh" in answer.json["error"]


def test_a_kept_explanation_speaks_both_with_an_etag_each(client: FlaskClient) -> None:
    id = asked(client, CALLS[0]).json["id"]
    found = [client.get(f"/v1/explanations/{id}?lang={lang}") for lang in ("en", "zh")]
    assert [is_chinese(one.json["alt"]) for one in found] == [False, True]
    english, chinese = (one.headers["ETag"] for one in found)
    assert english != chinese
    assert client.get(f"/v1/explanations/{id}?lang=zh", headers={"If-None-Match": chinese}).status_code == 304
    assert client.get(f"/v1/explanations/{id}?lang=zh", headers={"If-None-Match": english}).status_code == 200


def test_both_languages_have_the_same_sentences() -> None:
    english, chinese = ({name for name in dir(words) if not name.startswith("_")} for words in LANGUAGES.values())
    assert english == chinese


def test_the_pixels_that_the_model_got_are_told_where_asked_for(client: FlaskClient) -> None:
    plain = client.post("/v1/predict", data=SEVEN).json
    asked_for = client.post("/v1/predict?pixels=true", data=SEVEN).json
    pixels = asked_for["preprocessing"].pop("pixels")
    assert plain == asked_for and "pixels" not in plain["preprocessing"]
    again = client.post("/v1/predict", json={"pixels": pixels}).json
    assert again["probabilities"] == plain["probabilities"]
