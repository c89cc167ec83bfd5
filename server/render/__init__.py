"""Renders explanations, comparisons and results of attacks as bytes: a registry of renderers by media type.

The same answer always gives the same bytes. Nothing in this package knows HTTP beyond the names of the media types, nor
how an attribution was computed. `png.py` and `lossless.py` alone know Pillow.
"""

from collections.abc import Callable

from server.attacks.types import AttackResult
from server.render.alt import alt_text
from server.render.attack import attack_json, attack_json_bytes
from server.render.compare import comparison_json, comparison_json_bytes
from server.render.json import answer_json, explanation_json, json_bytes, prediction_json, record_json
from server.render.jsonable import json_text, plain_floats
from server.render.landscape import landscape_json, landscape_svg, neighbours_json
from server.render.language import LANGUAGES, Language, Words
from server.render.model_card import card_markdown
from server.render.npz import attack_npz_bytes, npz_bytes
from server.render.png import attack_png_bytes, comparison_png_bytes, png_bytes, prototypes_png_bytes
from server.render.svg import svg_bytes
from server.types import Comparison, Explanation

REVISION = 9  # raise it when the bytes of any rendering of an explanation change: ETags have it

RENDERERS: dict[str, Callable[[Explanation, Words], bytes]] = {
    "application/json": json_bytes,
    "image/png": png_bytes,
    "image/svg+xml": svg_bytes,
    "application/x-npz": npz_bytes,
}

ATTACK_RENDERERS: dict[str, Callable[[AttackResult, Words], bytes]] = {
    "application/json": attack_json_bytes,
    "image/png": attack_png_bytes,
    "application/x-npz": attack_npz_bytes,
}

COMPARISON_RENDERERS: dict[str, Callable[[Comparison, Words], bytes]] = {
    "application/json": comparison_json_bytes,
    "image/png": comparison_png_bytes,
}

__all__ = [
    "ATTACK_RENDERERS", "COMPARISON_RENDERERS", "LANGUAGES", "RENDERERS", "REVISION", "Language", "Words",
    "alt_text", "answer_json", "attack_json", "card_markdown", "comparison_json", "explanation_json", "json_text",
    "landscape_json", "landscape_svg", "neighbours_json", "plain_floats", "prediction_json", "prototypes_png_bytes",
    "record_json",
]  # fmt: skip
