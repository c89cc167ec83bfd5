"""Renders an explanation as an SVG with its legend: cells as rectangles, the alt text as its description.

Self-contained: no script, no style sheet, no reference to anything outside or by id, so that several can stand in one
page.
"""

import base64
import html
import re
from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np

from server.render.alt import alt_text
from server.render.backdrop import FADED, INK, PAPER, Backdrop
from server.render.colours import eight_bit, heat
from server.render.heatmap import DARK, FINE, HALO, OUTLINE, ROOMY, Heatmap, Mark, heatmap, marks
from server.render.language import ENGLISH, Words
from server.render.legend import EDGE, FRAME, FRAME_WIDTH, Legend, legend
from server.render.png import photo
from server.types import Array, Explanation

FONT = "Helvetica, Arial, sans-serif"
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # letters that no XML may hold


def svg_bytes(explanation: Explanation, words: Words = ENGLISH) -> bytes:
    """UTF-8. Raises ValueError when there is a value that is not finite."""
    hot = heatmap(explanation)
    minuses = marks(hot)
    frame = legend(explanation, hot, bool(minuses))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {frame.width} {frame.height}" width="{frame.width}"'
        f' height="{frame.height}" role="img" font-family="{FONT}">',
        f"<title>{escaped(frame.texts[0].words)}</title>",
        f"<desc>{escaped(alt_text(explanation, words))}</desc>",
        _box(0, 0, frame.width, frame.height, "#fff"),
        *_map(explanation, hot, minuses, frame),
        *_bar(frame),
        *_texts(frame),
        "</svg>",
    ]
    return "\n".join(lines).encode()


def escaped(words: str) -> str:
    return html.escape(NOT_XML.sub("", words))


def _map(explanation: Explanation, hot: Heatmap, minuses: list[Mark], frame: Legend) -> Iterator[str]:
    """Backdrop, heat and lines. A nested svg cuts off cells that would lie beyond the picture."""
    height, width = hot.backdrop.grey.shape
    sent = explanation.frame == "original"
    yield f'<svg x="{frame.left}" y="{frame.top}" width="{width}" height="{height}">'
    yield from _photo(hot.backdrop, hot.levels.shape) if sent else [_box(0, 0, width, height, _grey(PAPER))]
    yield f'<g transform="matrix({_matrix(hot.backdrop)})" shape-rendering="crispEdges">'
    yield from [] if sent else _ink(explanation.digit.pixels)
    yield from _heat(hot)
    yield from _lines(hot)
    yield "</g>"
    yield from map(_minus, minuses)
    yield "</svg>"
    yield _box(frame.left - 0.5, frame.top - 0.5, width + 1, height + 1, "none", f' stroke="{EDGE}"')
    if frame.framed:
        out, both = 1 + FRAME_WIDTH / 2, 2 + FRAME_WIDTH
        style = f' stroke="{FRAME}" stroke-width="{FRAME_WIDTH}"'
        yield _box(frame.left - out, frame.top - out, width + both, height + both, "none", style)


def _photo(below: Backdrop, shape: tuple[int, ...]) -> list[str]:
    """The sent picture, faded where the model did not see it."""
    height, width = below.grey.shape
    kind, content = photo(below.grey, lossless=below.cell >= ROOMY)
    data = base64.b64encode(content).decode()
    h, w = shape
    view = " ".join("{} {}".format(*map(_short, below.point(*corner))) for corner in ((0, 0), (w, 0), (w, h), (0, h)))
    return [
        f'<image width="{width}" height="{height}" href="data:{kind};base64,{data}"/>',
        f'<path d="M0 0H{width}V{height}H0ZM{view}Z" fill="#fff" fill-opacity="{FADED}" fill-rule="evenodd"/>',
        f'<path d="M{view}Z" fill="none" stroke="#808080"/>',
    ]


def _ink(pixels: Array) -> Iterator[str]:
    greys = PAPER + (INK - PAPER) * pixels
    return _rectangles([["" if grey == PAPER else f' fill="{_grey(grey)}"' for grey in row] for row in greys.tolist()])


def _heat(hot: Heatmap) -> Iterator[str]:
    colours, opacities = heat(hot.levels, hot.signed)
    rows = zip(eight_bit(colours).tolist(), opacities.tolist(), strict=True)
    return _rectangles([[_fill(*cell) for cell in zip(*row, strict=True)] for row in rows])


def _fill(colour: list[int], opacity: float) -> str:
    return f' fill="#{bytes(colour).hex()}" fill-opacity="{opacity:.2f}"' if opacity >= 0.005 else ""


def _rectangles(fills: list[list[str]]) -> Iterator[str]:
    """One rectangle for each run of equal cells in a row; cells without a fill are left out."""
    for y, row in enumerate(fills):
        x = 0
        for fill, run in groupby(row):
            width = len(list(run))
            if fill:
                yield f'<rect x="{x}" y="{y}" width="{width}" height="1"{fill}/>'
            x += width


def _lines(hot: Heatmap) -> Iterator[str]:
    """Borders of segments and the outline of the ink, with a halo where there is room."""
    pixel = 1 / hot.backdrop.cell
    if hot.segments is not None:
        yield _path(hot.segments, "#595959", 0.5, pixel)
    if hot.backdrop.cell >= ROOMY:
        yield _path(hot.ink, "#fff", HALO, 3.5 * pixel)
    yield _path(hot.ink, _grey(DARK), OUTLINE if hot.backdrop.cell >= ROOMY else FINE, 1.2 * pixel)


def _path(regions: Array, colour: str, opacity: float, width: float) -> str:
    """A line between all neighbours in different regions, in cells."""
    beside = np.argwhere(regions[:, :-1] != regions[:, 1:]).tolist()
    below = np.argwhere(regions[:-1] != regions[1:]).tolist()
    steps = [f"M{x + 1} {y}v1" for y, x in beside] + [f"M{x} {y + 1}h1" for y, x in below]
    style = f'stroke="{colour}" stroke-opacity="{opacity}" stroke-width="{width:.3g}" stroke-linecap="square"'
    return f'<path d="{"".join(steps) or "M0 0"}" fill="none" {style}/>'


def _minus(mark: Mark) -> str:
    thick = max(2.0, mark.half_width / 2)
    return _box(mark.x - mark.half_width, mark.y - thick / 2, 2 * mark.half_width, thick, "#fff")


def _matrix(below: Backdrop) -> str:
    a, b, c, d, e, f = below.matrix
    return " ".join(f"{number:.6g}" for number in (a, d, b, e, c, f))  # SVG writes column by column


def _bar(frame: Legend) -> Iterator[str]:
    x, y, width, height = frame.bar
    columns = [f"#{bytes(colour).hex()}" for colour in frame.bar_colours.tolist()]
    start = x
    for colour, run in groupby(columns):
        length = len(list(run))
        yield _box(start, y, length, height, colour, ' shape-rendering="crispEdges"')
        start += length
    yield _box(x + 0.5, y + 0.5, width - 1, height - 1, "none", f' stroke="{EDGE}"')
    yield f'<path d="M{_short(frame.zero)} {y - 3}v{height + 6}" stroke="#1a1a1a"/>'
    if frame.minus is not None:
        yield _minus(frame.minus)


def _texts(frame: Legend) -> Iterable[str]:
    for text in frame.texts:
        at = f'x="{_short(text.x)}" y="{_short(text.y)}" font-size="{text.size}" fill="{text.colour}"'
        yield f'<text {at} text-anchor="{text.anchor}">{escaped(text.words)}</text>'


def _box(x: float, y: float, width: float, height: float, fill: str, more: str = "") -> str:
    size = f'x="{_short(x)}" y="{_short(y)}" width="{_short(width)}" height="{_short(height)}"'
    return f'<rect {size} fill="{fill}"{more}/>'


def _short(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _grey(level: float) -> str:
    return f"#{bytes(3 * [round(level * 255)]).hex()}"
