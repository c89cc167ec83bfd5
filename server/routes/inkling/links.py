"""Adds HTTP to an explanation: links to itself in every format, and validators (ETags) for caches."""

from collections.abc import Callable
from typing import Any

from flask import g, request, url_for

from server import render
from server.auth.signed_links import Links
from server.cache import fingerprint
from server.render import Language, Words
from server.routes.service import service
from server.types import Explanation

JSON = "application/json"
SUFFIXES = {"png": "image/png", "svg": "image/svg+xml", "npz": "application/x-npz"}


def explanation_json(explanation: Explanation, words: Words) -> dict[str, Any]:
    """All of POST /v1/explain. `links` is null where the explanation is not kept."""
    return {**render.explanation_json(explanation, words), "links": _links(explanation) if explanation.kept else None}


def _links(explanation: Explanation) -> dict[str, str]:
    frame = "" if explanation.frame == "original" else f"?frame={explanation.frame}"
    names = {"self": explanation.id, **{suffix: f"{explanation.id}.{suffix}" for suffix in SUFFIXES}}
    return {name: _signed(url_for("explanations.one", id=id_) + frame) for name, id_ in names.items()}


def address(explanation: Explanation, media_type: str) -> str:
    """Where an explanation that is kept can be had again in this media type: the same as in `links`."""
    return _links(explanation)[next(suffix for suffix, kind in SUFFIXES.items() if kind == media_type)]


def _signed(address: str) -> str:
    """The address, with a signature where keys are required, so that an <img> can load it for a while: in answer to a
    signed link, for as long as that one lasts."""
    links: Links | None = g.get("links", service().links)
    if links is None:
        return address
    return request.script_root + links.signed(address.removeprefix(request.script_root))


def _json_bytes(explanation: Explanation, words: Words) -> bytes:
    return render.json_text(explanation_json(explanation, words))


RENDERERS: dict[str, Callable[[Explanation, Words], bytes]] = {**render.RENDERERS, JSON: _json_bytes}


def validators(explanation: Explanation, media_type: str, language: Language) -> dict[str, str]:
    """The ETag of an explanation in this media type and language, where it has one.

    It hashes all that the bytes are made from, and has the revision of the code that makes them. Partial explanations
    and links that expire are new each time.
    """
    if explanation.attribution.state == "partial" or (media_type == JSON and service().links is not None):
        return {}
    kind = media_type.partition("/")[2].partition("+")[0]
    return {"ETag": f'"{fingerprint(explanation)[:32]}-{render.REVISION}-{kind}-{language}"'}
