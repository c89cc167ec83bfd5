"""Describes the service in OpenAPI 3.1: every address, what it takes, and what it answers.

Options, methods and media types come from the tables that the service itself works by; addresses and the shapes of
answers are written down here and held to the running service by tests/openapi/test_openapi.py. Knows no Flask.
"""

import re
from collections.abc import Mapping
from typing import Any

from server.openapi import inkling, jobs, open_inference, ops, schemas, tensorflow_serving
from server.openapi.parts import errors

PARTS = (inkling, tensorflow_serving, open_inference, ops)  # one module for each dialect, as in server/routes

KEYS = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def document() -> dict[str, Any]:
    """The whole description, as plain JSON."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Inkling",
            "version": "1",
            "summary": "Reads handwritten digits, and says why.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": part.TAG, "description": part.ABOUT} for part in PARTS],
        "paths": {path: _named(path, item) for part in (*PARTS, jobs) for path, item in part.PATHS.items()},
        "components": {"schemas": {**schemas.SCHEMAS, **jobs.SCHEMAS}, "securitySchemes": KEYS},
        "security": [{}, *({name: []} for name in KEYS)],  # {}: a server without keys asks for none
    }


def _named(path: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """Each method of a path with an id that programs can be generated from."""
    name = "_".join(re.findall(r"[A-Za-z0-9]+|(?<=.)/$", path)).replace("/", "slash") or "root"
    guarded = {
        **({} if path in ops.PROBES else errors(400, 421)),
        **({} if path in ops.OPEN else errors(401, 403, 429)),
    }
    return {
        method: {"operationId": f"{method}_{name}", **described, "responses": {**described["responses"], **guarded}}
        for method, described in item.items()
    }
