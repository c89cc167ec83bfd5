"""An explanation again, by its id: GET /v1/explanations/{id}, in any format, so that <img src> works."""

import re
from dataclasses import replace

from flask import Blueprint, Response, g, request

from server.auth.signed_links import QUERY
from server.errors import UnknownExplanation
from server.options import choice, reject_unknown, shown
from server.render import LANGUAGES, Language
from server.routes.inkling import links, parsing, summaries
from server.routes.inkling.negotiation import VARY, language_of, media_type_of
from server.routes.service import service
from server.types import Explanation

blueprint = Blueprint("explanations", __name__)

ID = re.compile("[0-9a-f]{32}")


@blueprint.get("/v1/explanations/<name:id>")
def one(id: str) -> Response:
    """Negotiated, or in the format that the suffix says."""
    values, suffixes = parsing.query(), links.SUFFIXES
    identity, dot, suffix = id.partition(".")
    if not ID.fullmatch(identity) or (dot and suffix not in suffixes):
        ends = " or ".join(f".{one}" for one in suffixes)
        raise UnknownExplanation(f"got {shown(id)}; expected 32 digits of 0-9 and a-f, with {ends} or nothing after it")
    signature = () if service().links is None else (QUERY,)
    reject_unknown(values, ("frame", "lang", *(() if dot else ("format",)), *signature), request.path)
    frame = choice(values, "frame", ("original", "model"), "original")
    media_type = suffixes[suffix] if dot else media_type_of(values, links.RENDERERS)
    kept = service().cache.find(identity)
    if kept is None:
        raise UnknownExplanation(
            f"no explanation {identity} is kept here: {service().cache.gone}; POST the picture to /v1/explain again"
        )
    return _answer(replace(kept, frame=frame), media_type, language_of(values))


def _answer(found: Explanation, media_type: str, language: Language) -> Response:
    """The explanation, or 304 if the client has it already."""
    answer = Response(content_type=media_type, headers=links.validators(found, media_type, language))
    # not immutable: the same id may be measured later, or belong to another picture with the same pixels
    lasts = f"private, max-age={service().cache.max_age}"
    answer.headers["Cache-Control"] = lasts if "ETag" in answer.headers else "no-store"
    answer.headers.update({"Vary": VARY, "Content-Language": language})
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"  # an <img> of any page may show it
    if media_type != links.JSON:
        answer.headers.update(summaries.of_explanation(found))
    environ = {**request.environ, "HTTP_IF_MATCH": ""}  # that is for writes; werkzeug would answer a 412 without a body
    if answer.make_conditional(environ).status_code == 200:
        with g.stages("render"):
            answer.data = links.RENDERERS[media_type](found, LANGUAGES[language])
    return answer
