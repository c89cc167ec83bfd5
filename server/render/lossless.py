"""Renders pictures as addresses that hold each pixel exactly: a model's own to be sent again, drawn ones to be put
into a page. Beside png.py the only file here that imports Pillow.
"""

import base64
import io

import numpy as np
from PIL import Image

from server.types import Array

WHITE = 65535


def sixteen_bit_url(pixels: Array) -> str:
    """A data: URL of the pixels (H, W) in [0, 1] as a grey PNG of 16 bits; 0 is black. Exact for multiples of
    1 / 65535; of 8 bits there would be so few levels that a change as small as an attack's may be lost."""
    return _url(np.rint(pixels.astype(np.float64) * WHITE).astype(np.uint16), optimize=False)


def eight_bit_url(picture: Array) -> str:
    """A data: URL of a picture, uint8: grey (h, w) or RGB (h, w, 3), as a PNG."""
    return _url(picture, optimize=True)


def _url(picture: Array, optimize: bool) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=optimize)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
