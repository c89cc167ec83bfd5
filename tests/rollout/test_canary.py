"""A canary answers a share of the callers, always the same ones, and nobody who names a version."""

import json
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from server.config import Settings, SettingsError
from server.process.preflight import check
from server.rollout.canary import Canary
from server.rollout.shares import Share, parse_shares
from tests.conftest import MakeApp
from tests.support.models.stores import SEVEN

HALF = Canary({"fake": Share("fake", "canary", 0.5)})
CALLERS = [f"address 10.0.{one // 256}.{one % 256}" for one in range(4000)]
V2 = {"inputs": [{"name": "images", "shape": [1, 784], "datatype": "FP32", "data": [0.5] * 784}]}


def answered(canary: Canary) -> set[str]:
    return {caller for caller in CALLERS if canary.label_for("fake", caller, ["canary", "stable"]) == "canary"}


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5, 1.0])
def test_about_the_share_of_callers_is_answered(share: float) -> None:
    found = len(answered(Canary({"fake": Share("fake", "canary", share)})))
    assert abs(found - share * len(CALLERS)) <= 4 * np.sqrt(len(CALLERS) * share * (1 - share))


def test_a_caller_stays_when_the_share_grows() -> None:
    few, many = (answered(Canary({"fake": Share("fake", "canary", share)})) for share in (0.1, 0.3))
    assert few < many


def test_other_models_and_labels_that_are_not_there_answer_nobody() -> None:
    assert {HALF.label_for("other", caller, ["canary"]) for caller in CALLERS} == {None}
    assert {HALF.label_for("fake", caller, ["stable"]) for caller in CALLERS} == {None}


def versions_of(client: FlaskClient, address: str, query: str = "") -> set[str]:
    found = set()
    for _ in range(3):
        response = client.post(f"/v1/predict{query}", data=SEVEN, environ_base={"REMOTE_ADDR": address})
        found.add(response.get_json()["model"]["version"])
    return found


def test_callers_without_keys_are_told_apart_by_their_address(make_app: MakeApp) -> None:
    client = make_app(canary="fake@canary:0.5").test_client()
    found = [versions_of(client, f"192.0.2.{one}") for one in range(40)]
    assert all(len(one) == 1 for one in found)
    assert {next(iter(one)) for one in found} == {"2", "10"}


def test_who_names_a_version_gets_it(make_app: MakeApp) -> None:
    client = make_app(canary="fake@canary:1").test_client()
    assert versions_of(client, "192.0.2.1") == {"10"}
    assert versions_of(client, "192.0.2.1", "?version=1") == {"1"}
    assert versions_of(client, "192.0.2.1", "?version=stable") == {"2"}


def test_the_other_protocols_and_explanations_have_the_canary_too(make_app: MakeApp) -> None:
    client = make_app(canary="fake@canary:1").test_client()
    explained = client.post("/v1/explain?method=saliency", data=SEVEN).get_json()
    assert explained["model"]["version"] == "10"
    assert client.post("/v2/models/fake/infer", json=V2).get_json()["model_version"] == "10"
    assert client.post("/v2/models/fake/versions/1/infer", json=V2).get_json()["model_version"] == "1"
    body = json.dumps({"instances": [[0.5] * 784]})
    found = client.post("/v1/models/fake:explain", data=body).get_json()
    assert found["explanations"][0]["model"]["version"] == "10"
    named = client.post("/v1/models/fake/versions/1:explain", data=body).get_json()
    assert named["explanations"][0]["model"]["version"] == "1"


def test_behind_a_proxy_the_address_is_the_clients(make_app: MakeApp) -> None:
    client = make_app(canary="fake@canary:0.5", proxies=1).test_client()
    found = {
        client.post("/v1/predict", data=SEVEN, headers={"X-Forwarded-For": f"192.0.2.{one}"}).get_json()["model"][
            "version"
        ]
        for one in range(30)
    }
    assert found == {"2", "10"}


def test_shares_are_parsed_by_model() -> None:
    assert parse_shares("cnn@canary:0.05;mlp@next:1") == {
        "cnn": Share("cnn", "canary", 0.05),
        "mlp": Share("mlp", "next", 1.0),
    }


@pytest.mark.parametrize(
    "text", ["cnn", "cnn@canary", "cnn@canary:0", "cnn@canary:2", "cnn:0.1", "@canary:0.1", "cnn@3:0.1"]
)
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no share; expected MODEL@LABEL:SHARE"):
        parse_shares(text)


def test_two_shares_of_a_model_stop_the_start() -> None:
    settings: dict[str, Any] = {"canary": "cnn@canary:0.1;cnn@next:0.1"}
    with pytest.raises(SettingsError, match=r"INKLING_CANARY: .* has two shares of cnn"):
        check(Settings(**settings), 1)
