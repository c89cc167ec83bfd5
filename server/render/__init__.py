"""Explanation -> bytes: which media types an explanation can be had in, and who writes each.

The same explanation gives the same bytes, whoever asks and when. Nothing in this package knows HTTP beyond the names of
the media types, nor how an attribution was computed. `png.py` alone knows Pillow.
"""

from collections.abc import Callable

from server.render.alt import alt_text
from server.render.json import explanation_json, json_bytes, prediction_json
from server.render.npz import npz_bytes
from server.render.png import png_bytes
from server.render.svg import svg_bytes
from server.types import Explanation

RENDERERS: dict[str, Callable[[Explanation], bytes]] = {
    "application/json": json_bytes,
    "image/png": png_bytes,
    "image/svg+xml": svg_bytes,
    "application/x-npz": npz_bytes,
}

__all__ = ["RENDERERS", "alt_text", "explanation_json", "prediction_json"]
