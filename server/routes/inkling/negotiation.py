"""Content negotiation: in which format is an answer, and how are the answers to several pictures combined?"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from flask import Response, g, request
from werkzeug.datastructures import MIMEAccept

from server.errors import NotAcceptable, OutOfTime, PictureError
from server.inference.predict import check_pictures
from server.options import choice
from server.render import LANGUAGES, Language, Words
from server.routes.errors import error_body
from server.routes.inkling.parsing import Sent
from server.types import Picture

T = TypeVar("T")

VARY = "Accept, Accept-Language"
FORMATS = {
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "npz": "application/x-npz",
}


def media_type_of(values: Mapping[str, str], renderers: Collection[str]) -> str:
    """What to answer with: `format` where it is given, else the best of what Accept names; one of `renderers`.

    Raises:
        InvalidOption, NotAcceptable: a format that is unknown, or that this cannot be given in.
    """
    given = ", ".join(renderers)
    if "format" in values:
        chosen = FORMATS[choice(values, "format", FORMATS, "json")]
        if chosen not in renderers:
            raise NotAcceptable(f"format={values['format']}; this can be given as {given}")
        return chosen
    if not request.accept_mimetypes:
        return FORMATS["json"]
    accepted = MIMEAccept([(kind.partition(";")[0].strip(), quality) for kind, quality in request.accept_mimetypes])
    best = accepted.best_match(list(renderers))
    if best is None:
        raise NotAcceptable(f"Accept: {request.headers['Accept'][:200]}; this can be given as {given}")
    return best


def media_type_for(sent: Sent, renderers: Collection[str]) -> str:
    """What to answer the pictures of a request with, as `media_type_of` chooses.

    Raises:
        NotAcceptable: several pictures are to be answered as anything but JSON.
    """
    media_type = media_type_of(sent.options, renderers)
    if sent.several and media_type != FORMATS["json"]:
        raise NotAcceptable(
            f"{len(sent.pictures)} pictures cannot be answered as {media_type}; ask for JSON or send one"
        )
    return media_type


def language_of(values: Mapping[str, str]) -> Language:
    """The language of sentences: `lang` where it is given, else the best of what Accept-Language names, else English.

    Raises:
        InvalidOption: a language that is not spoken here.
    """
    if "lang" in values:
        chosen: Language = choice(values, "lang", LANGUAGES, "en")
        return chosen
    for wanted, _ in request.accept_languages:
        if (spoken := wanted.partition("-")[0].lower()) in LANGUAGES:
            return spoken
    return "en"


def rendered(
    answer: T,
    media_type: str,
    renderers: Mapping[str, Callable[[T, Words], bytes]],
    language: Language,
    summary: Callable[[T], Mapping[str, str]],
) -> Response:
    """The answer to one picture as `media_type`; what is no JSON has a summary in its headers."""
    with g.stages("render"):
        body = renderers[media_type](answer, LANGUAGES[language])
    headers = {} if media_type == FORMATS["json"] else summary(answer)
    about = {"Vary": VARY, "Content-Language": language, **headers}
    return Response(body, content_type=media_type, headers=about)


def each(answer: Callable[[Picture], dict[str, Any]], pictures: list[Picture]) -> dict[str, Any]:
    """The answer for every picture in order; a bad one has its error in its place and harms no other.

    Raises:
        ImageTooLarge: they take too long to decode together.
    """
    check_pictures(pictures)
    results = []
    for picture in pictures:
        try:
            results.append(answer(picture))
        except (PictureError, OutOfTime) as error:
            results.append(error_body(error))
    return {"results": results}
