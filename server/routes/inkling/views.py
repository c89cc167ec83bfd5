"""What a version has learned, for people to see: GET /v1/models/{model}/map and /prototypes.png."""

from flask import Blueprint, Response, request

from server.errors import InvalidOption
from server.inference.neighbours import views_of
from server.options import reject_unknown, shown
from server.render import landscape_json, landscape_svg, prototypes_png_bytes
from server.routes.inkling import parsing
from server.routes.inkling.negotiation import FORMATS, media_type_of
from server.routes.responses import json_answer
from server.routes.service import service

blueprint = Blueprint("views", __name__)

EMBEDDABLE = {"Cross-Origin-Resource-Policy": "cross-origin"}  # an <img> of any page may show them


@blueprint.get("/v1/models/<name:model>/map")
def map_of(model: str) -> Response:
    """Where centroids lie in the embedding: as JSON, or as an SVG with a mark."""
    values = parsing.query()
    reject_unknown(values, ("version", "format", "mark"), request.path)
    media_type, mark = media_type_of(values, (FORMATS["json"], FORMATS["svg"])), _mark(values.get("mark"))
    if mark is not None and media_type == FORMATS["json"]:
        raise InvalidOption(f"mark={shown(values['mark'])} is drawn on the SVG; ask for format=svg, or leave it out")
    version = service().store.find(model, values.get("version"))
    card, views = version.card, views_of(version)
    if media_type == FORMATS["json"]:
        answer = json_answer(landscape_json(card, views))
    else:
        answer = Response(landscape_svg(card, views, mark), content_type=media_type)
    answer.headers.update({"Vary": "Accept", **EMBEDDABLE})
    return answer


@blueprint.get("/v1/models/<name:model>/prototypes.png")
def prototypes(model: str) -> Response:
    """What excites each class."""
    values = parsing.query()
    reject_unknown(values, ("version",), request.path)
    version = service().store.find(model, values.get("version"))
    drawn = prototypes_png_bytes(version.card, views_of(version).prototypes)
    return Response(drawn, content_type="image/png", headers=EMBEDDABLE)


def _mark(text: str | None) -> tuple[float, float] | None:
    """A place such as 0.25,0.5. Raises InvalidOption."""
    if text is None:
        return None
    try:
        x, y = (float(part) for part in text.split(","))
        if 0 <= x <= 1 and 0 <= y <= 1:
            return x, y
    except ValueError:
        pass
    raise InvalidOption(f"mark={shown(text)}; expected two numbers in 0..1, as `position` of neighbours has them")
