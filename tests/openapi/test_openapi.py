"""The description and the running service say the same: every address and every field; content types are in
test_openapi_types.py."""

import re
from dataclasses import fields
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from werkzeug.routing import Rule

from server.explainers import EXPLAINERS
from server.openapi import document
from server.reference import REFERENCES
from server.routes.inkling.compare import ABOUT_COMPARISON
from server.routes.inkling.parsing import ABOUT_EXPLANATION
from server.routes.parameters import ABOUT
from tests.conftest import MakeApp
from tests.support.models.stores import SEVEN

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
EXAMPLES, MORE = 8, 20  # of each address and mode; more with --all
TAKES_NOTHING = len({"operationId", "tags", "summary", "responses"})
V2_PARAMETERS = {"timeout", "binary_data_output"}
NOBODYS = {"HEAD", "OPTIONS"}  # Flask adds them to every address


@pytest.fixture
def described(make_app: MakeApp) -> Any:
    return schemathesis.openapi.from_wsgi("/openapi.json", make_app(max_budget_ms=2000))


def template(rule: Rule) -> str:
    """The address of a rule as the description writes it."""
    return re.sub(r"<(?:[^:>]*:)?(\w+)>", r"{\1}", str(rule))


def addresses(app: Flask) -> set[tuple[str, str]]:
    """(method, address with {names}) of every rule of the application."""
    return {
        (method.lower(), template(rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - NOBODYS
    }


def written() -> set[tuple[str, str]]:
    return {(method, path) for path, item in document()["paths"].items() for method in item}


def test_every_address_is_described_and_every_description_has_an_address(make_app: MakeApp) -> None:
    app = make_app()
    assert addresses(app) == written()
    app.add_url_rule("/v1/hidden", view_func=lambda: "", methods=["PUT"])
    assert addresses(app) - written() == {("put", "/v1/hidden")}


def told_wrong(description: dict[str, Any]) -> list[str]:
    """What the reference validator of OpenAPI 3.1 has against it."""
    return [error.message for error in OpenAPIV31SpecValidator(description).iter_errors()]


def test_the_description_is_valid() -> None:
    assert told_wrong(document()) == []


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/a", {"respones": {}}),
        ("/a/{id}", {"responses": {}}),
        ("/a", {"responses": {"200": {"content": {}}}}),
        ("/a", {"responses": {}, "operationId": "get_root"}),
        ("/a", {"responses": {}, "parameters": [{"name": "n", "in": "query", "schema": {"type": "text"}}]}),
        ("/a", {"responses": {}, "parameters": [{"name": "n", "in": "body", "schema": {}}]}),
    ],
    ids=str,
)
def test_a_mistake_in_the_description_is_found(path: str, operation: dict[str, Any]) -> None:
    subset = {"/": document()["paths"]["/"]}
    assert told_wrong({**document(), "paths": subset}) == []
    assert told_wrong({**document(), "paths": {**subset, path: {"get": operation}}}) != []


def test_every_route_and_parameter_is_described() -> None:
    methods = [*EXPLAINERS.values(), *REFERENCES.values()]
    options = {one.name for method in methods for one in fields(method)}
    paths = document()["paths"]
    for path, about in (("/v1/explain", ABOUT_EXPLANATION), ("/v1/compare", ABOUT_COMPARISON)):
        assert {one["name"] for one in paths[path]["post"]["parameters"]} == {*about, *options}
    for path, more in (("/v1/models/{model}:explain", set[str]()), ("/v2/models/{model}/explain", V2_PARAMETERS)):
        body = paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert set(body["properties"]["parameters"]["properties"]) == {*ABOUT, *options, *more}


def requests() -> list[tuple[str, str, GenerationMode]]:
    """Every address with requests as they should be and, where there is anything to get wrong, as they should not."""
    paths = document()["paths"]
    wrong = [(method, path) for method, path in sorted(written()) if len(paths[path][method]) > TAKES_NOTHING]
    right = [(method, path, GenerationMode.POSITIVE) for method, path in sorted(written())]
    return right + [(method, path, GenerationMode.NEGATIVE) for method, path in wrong]


@pytest.mark.parametrize(("method", "path", "mode"), requests())
def test_answers_to_any_request_are_as_described(
    described: Any, method: str, path: str, mode: GenerationMode, pytestconfig: pytest.Config
) -> None:
    """Requests that keep to the description, and requests that do not, as schemathesis draws them."""
    operation = described[path][method]

    examples = MORE if pytestconfig.getoption("--all") else EXAMPLES

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def ask(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    ask()


def closed(node: Any) -> Any:
    """The same schema, but fields that it does not know are wrong: so that new ones are written down."""
    if isinstance(node, list):
        return [closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    inner = {name: closed(value) for name, value in node.items()}
    return {"additionalProperties": False, **inner} if isinstance(node.get("properties"), dict) else inner


def validator(name: str) -> Any:
    reported = document()
    return jsonschema_rs.validator_for(
        {"$ref": f"#/components/schemas/{name}", "components": closed(reported["components"])}, validate_formats=False
    )


def test_a_method_is_listed_with_the_fields_that_are_written_down_and_no_others(make_app: MakeApp) -> None:
    reported = document()["components"]["schemas"]["Method"]["properties"]
    listed = make_app().test_client().get("/v1/methods").get_json()["methods"]
    references = [method["reference"] for method in listed if method["reference"] is not None]
    assert len(references) == len(REFERENCES)
    assert [method["name"] for method in listed if set(method) != set(reported)] == []
    assert [found for found in references if set(found) != set(reported["reference"]["properties"])] == []


ANSWERS = [
    ("/v1/predict", "Prediction"),
    ("/v1/predict?explain_if=probability<=1&method=saliency", "Prediction"),
    ("/v1/explain", "Explanation"),
    ("/v1/explain?method=rise&n_samples=50&quality=true", "Explanation"),
    ("/v1/explain?method=lime&engine=inkling&versus=1", "Explanation"),
    ("/v1/compare?methods=saliency,shapley", "Comparison"),
    ("/v1/compare?versions=1,2&method=saliency", "Comparison"),
    ("/v1/adversarial?method=fgsm", "Attack"),
    ("/v1/explain?method=none", "Error"),
]


@pytest.mark.parametrize(("address", "name"), ANSWERS)
def test_an_answer_has_the_fields_that_are_written_down_and_no_others(
    make_app: MakeApp, address: str, name: str
) -> None:
    answer = make_app().test_client().post(address, data=SEVEN).get_json()
    check = validator(name)
    check.validate(answer)
    with pytest.raises(jsonschema_rs.ValidationError):
        check.validate({**answer, "another": 1})
    with pytest.raises(jsonschema_rs.ValidationError):
        check.validate({field: value for field, value in answer.items() if field != next(iter(answer))})
