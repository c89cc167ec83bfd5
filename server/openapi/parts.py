"""Building blocks of the description: parameters, contents and answers."""

from collections.abc import Collection, Mapping
from typing import Any

Schema = Mapping[str, Any]

JSON = "application/json"
ERRORS = {
    400: "Malformed: the message says what was got, what was expected and how to fix it.",
    401: "Where keys are on: none was sent, or one that nobody here knows; or a link that is no longer good.",
    403: "Where keys are on: the key is not good for this. Switched off, or not for pages of other sites.",
    404: "No such model, version, method or id; or nothing is at this address.",
    406: "It cannot be given in any format that was asked for.",
    409: "Not possible in this state.",
    413: "More bytes, pixels or rows than are read.",
    415: "Not a picture, or one in a format that is not read here.",
    421: "Where INKLING_HOSTS is set: asked under another name than those.",
    422: "Understood, but not possible: a blank picture, a method that the model cannot do, a package not installed.",
    429: "Where a limit is set: more than one key, or one address, may ask; again after `Retry-After` seconds.",
    503: "Not ready yet, or busy: try again after `Retry-After` seconds.",
    504: "Nothing to give within the budget.",
    507: "The server has no room to keep it.",
}


def ref(name: str) -> dict[str, Any]:
    """One of the named schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def record(**properties: Any) -> dict[str, Any]:
    """An object that always has all of these properties; a client must expect more of them."""
    names = {name.rstrip("_"): schema for name, schema in properties.items()}
    return {"type": "object", "properties": names, "required": list(names)}


def with_optional(optional: Mapping[str, Schema], **properties: Any) -> dict[str, Any]:
    """A record that may have other properties too."""
    always = record(**properties)
    return {**always, "properties": {**always["properties"], **optional}}


def listed(schema: Schema) -> dict[str, Any]:
    return {"type": "array", "items": schema}


def nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """`schema` or null."""
    if "type" in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def query(name: str, schema: Schema, about: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": about}


def in_path(name: str, about: str) -> dict[str, Any]:
    # no colon: `name:verb` is another address
    schema = {"type": "string", "pattern": "^[^/:]+$"}
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": about}


def answer(about: str, contents: Mapping[str, Schema], **more: str) -> dict[str, Any]:
    """An answer in any of these content types, with the headers that every answer has, and what `more` it may have."""
    headers = {
        "X-Request-ID": {"description": "the request's own, or a new one", "schema": {"type": "string"}},
        "Server-Timing": {"description": "milliseconds of each stage", "schema": {"type": "string"}},
        "X-Content-Type-Options": {"description": "no guesses at the type", "schema": {"const": "nosniff"}},
        **{name.replace("_", "-"): {"description": said, "schema": {"type": "string"}} for name, said in more.items()},
    }
    content = {kind: {"schema": schema} for kind, schema in contents.items()}
    return {"description": about, "headers": headers, "content": content}


def errors(*statuses: int) -> dict[str, Any]:
    return {str(status): answer(ERRORS[status], {JSON: ref("Error")}) for status in statuses}


def unchanged() -> dict[str, Any]:
    """The answer without a body to a client that has it already."""
    return {"304": answer("What If-None-Match names is still the same.", {})}


def operation(
    tag: str,
    summary: str,
    answers: Mapping[str, Any],
    parameters: Collection[Mapping[str, Any]] = (),
    body: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One method of one address."""
    described: dict[str, Any] = {"tags": [tag], "summary": summary}
    if parameters:
        described["parameters"] = list(parameters)
    if body is not None:
        described["requestBody"] = body
    return {**described, "responses": dict(answers)}


def option_schema(option: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of one option as server/options.py describes it."""
    names = {"type": "type", "minimum": "minimum", "maximum": "maximum", "choices": "enum", "default": "default"}
    return {to: option[name] for name, to in names.items() if name in option}
