"""Pictures and bodies spoilt in the ways that files are: bits, ends, lengths, splices; and JSON with wrong nodes."""

import json
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from tests.support.models.stores import draw_seven, encoded

Mutation = Callable[[bytes, np.random.Generator], bytes]

ODD: list[Any] = [
    None, True, False, 0, -1, 2**31, 2**63, 2**64, -(2**70), 1e308, -1e-320, 0.5, "", "x", "7", "\x00", "\ud7ff" * 3,
    "a" * 5000, [], [[]], {}, {"b64": ""}, {"b64": "AAAA"}, {"b64": 7}, [None], [1, "x"], [[1], [1, 2]], {"": None},
    [[[[[[]]]]]],
]  # fmt: skip


def corpus() -> list[bytes]:
    """One small picture in every format that is read, and some that are rare."""
    seven = draw_seven(64)
    colour = Image.merge("RGB", (seven, seven.transpose(Image.Transpose.FLIP_LEFT_RIGHT), seven))
    ghost = colour.convert("RGBA")
    ghost.putalpha(seven)
    kinds = [("PNG", seven), ("PNG", colour), ("PNG", ghost), ("PNG", seven.convert("P")), ("PNG", seven.convert("1"))]
    kinds += [("PNG", seven.convert("I;16")), ("JPEG", seven), ("JPEG", colour.convert("CMYK")), ("WEBP", colour)]
    kinds += [("BMP", seven), ("BMP", colour), ("GIF", seven)]
    return [*(encoded(image, kind) for kind, image in kinds), animated(seven)]


def animated(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "GIF", save_all=True, append_images=[image.rotate(90), image.rotate(180)])
    return file.getvalue()


def _flipped(body: bytes, rng: np.random.Generator) -> bytes:
    spoilt = np.frombuffer(body, np.uint8).copy()
    where = rng.integers(len(spoilt), size=rng.integers(1, 9))
    spoilt[where] ^= (1 << rng.integers(8, size=len(where))).astype(np.uint8)
    return spoilt.tobytes()


def _flipped_head(body: bytes, rng: np.random.Generator) -> bytes:
    return _flipped(body[:48], rng) + body[48:]


def _cut(body: bytes, rng: np.random.Generator) -> bytes:
    return body[: rng.integers(len(body))]


def _without_a_piece(body: bytes, rng: np.random.Generator) -> bytes:
    start, end = sorted(rng.integers(len(body) + 1, size=2))
    return body[:start] + body[end:]


def _with_a_piece_twice(body: bytes, rng: np.random.Generator) -> bytes:
    start, end = sorted(rng.integers(len(body) + 1, size=2))
    return body[:end] + body[start:end] + body[end:]


def _with_a_huge_number(body: bytes, rng: np.random.Generator) -> bytes:
    """Four bytes that are a length or a size somewhere, made huge or zero."""
    at = rng.integers(max(1, len(body) - 4))
    numbers = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\0\0", b"\0\0\xff\xff")
    return body[:at] + numbers[rng.integers(len(numbers))] + body[at + 4 :]


def _noise(body: bytes, rng: np.random.Generator) -> bytes:
    return body[: rng.integers(16)] + rng.bytes(int(rng.integers(400)))


BYTES: Sequence[Mutation] = (
    _flipped, _flipped_head, _cut, _without_a_piece, _with_a_piece_twice, _with_a_huge_number, _noise,
)  # fmt: skip


def spoilt(body: bytes, rng: np.random.Generator) -> bytes:
    """`body` with one to three mutations."""
    for _ in range(rng.integers(1, 4)):
        body = BYTES[rng.integers(len(BYTES))](body or b"\0", rng)
    return body


def spoilt_json(document: Any, rng: np.random.Generator) -> bytes:
    """JSON text of `document` with one node odd, gone or doubled; now and then its bytes spoilt as well."""
    text = json.dumps(_with_an_odd_node(json.loads(json.dumps(document)), rng)).encode()
    return spoilt(text, rng) if rng.random() < 0.2 else text


def _with_an_odd_node(node: Any, rng: np.random.Generator) -> Any:
    inner = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else []
    if not inner or rng.random() < 0.25:
        return ODD[rng.integers(len(ODD))]
    key = inner[rng.integers(len(inner))]
    action = rng.integers(6)
    if action == 0:
        del node[key]
    elif action == 1 and isinstance(node, dict):
        node[str(ODD[rng.integers(len(ODD))])] = node[key]
    elif action == 1:
        node.insert(0, node[key])
    else:
        node[key] = _with_an_odd_node(node[key], rng)
    return node
