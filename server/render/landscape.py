"""Renders the map of what a version has learned, and where a digit lands on it: JSON and SVG."""

import base64
import html
from collections.abc import Iterator
from typing import Any

from server.render.jsonable import plain_float, plain_floats
from server.render.png import photo
from server.types import ModelCard, Neighbour, Neighbours, Views

SIDE, EDGE, PICTURE = 720, 40, 30  # of the SVG and its margin, and of a centroid on it, in pixels
COLOURS = (  # of the first classes, apart for people with any common colour blindness; others are grey
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6d1f", "#332288", "#999933", "#882255",
)  # fmt: skip
OTHER = "#666666"


def neighbours_json(found: Neighbours) -> dict[str, Any]:
    def listed(neighbours: tuple[Neighbour, ...]) -> list[dict[str, Any]]:
        return [
            {"centroid": one.centroid, "label": one.label, "distance": plain_float(one.distance, "distance")}
            for one in neighbours
        ]

    position = [plain_float(part, "position") for part in found.position]
    return {"position": position, "own": listed(found.own), "next": listed(found.next)}


def landscape_json(card: ModelCard, views: Views) -> dict[str, Any]:
    """Of each centroid its place, what the version reads in it, and the picture itself."""
    return {
        "model": {"name": card.name, "version": card.version, "digest": card.digest},
        "positions": plain_floats(views.positions, "positions"),
        "labels": [card.classes[index] for index in views.classes],
        "centroids": plain_floats(card.background, "centroids"),
    }


def landscape_svg(card: ModelCard, views: Views, mark: tuple[float, float] | None = None) -> bytes:
    """Centroids at their places, framed in the colour of their class; `mark`, a place in [0, 1], is where a digit
    lands. Self-contained."""
    name = f"What {html.escape(card.name)} version {html.escape(card.version)} has learned"
    about = (
        f"{len(views.classes)} means of training images; near ones are alike to the net. "
        "Distances between groups, and their sizes, say nothing."
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}" width="{SIDE}" height="{SIDE}"'
        ' role="img">',
        f"<title>{name}</title>",
        f"<desc>{about}</desc>",
        f'<rect width="{SIDE}" height="{SIDE}" fill="#fff"/>',
        *_centroids(card, views),
    ]
    if mark is not None:
        x, y = (_placed(part) for part in mark)
        lines.append(
            f'<g fill="none" stroke-width="3"><circle cx="{x:.1f}" cy="{y:.1f}" r="24" stroke="#fff"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="21" stroke="#000"/>'
            f'<path d="M{x - 32:.1f} {y:.1f}h20m24 0h20M{x:.1f} {y - 32:.1f}v20m0 24v20" stroke="#000"/></g>'
        )
    return "\n".join([*lines, "</svg>"]).encode()


def _centroids(card: ModelCard, views: Views) -> Iterator[str]:
    for picture, index, position in zip(card.background, views.classes, views.positions, strict=True):
        left, top = (_placed(float(part)) - PICTURE / 2 for part in position)
        kind, content = photo(1 - picture, lossless=True)
        data = base64.b64encode(content).decode()
        colour = COLOURS[index] if index < len(COLOURS) else OTHER
        yield (
            f"<g><title>{html.escape(card.classes[index])}</title>"
            f'<image x="{left:.1f}" y="{top:.1f}" width="{PICTURE}" height="{PICTURE}" '
            f'href="data:{kind};base64,{data}"/><rect x="{left:.1f}" y="{top:.1f}" width="{PICTURE}" '
            f'height="{PICTURE}" fill="none" stroke="{colour}" stroke-width="3"/></g>'
        )


def _placed(part: float) -> float:
    """Where a part of the map lies on the SVG."""
    return EDGE + part * (SIDE - 2 * EDGE)
