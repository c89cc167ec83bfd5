"""Renders a model's own picture as a file that holds each pixel exactly, to be sent again. Beside png.py the only file
here that imports Pillow.
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
    buffer = io.BytesIO()
    Image.fromarray(np.rint(pixels.astype(np.float64) * WHITE).astype(np.uint16)).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
