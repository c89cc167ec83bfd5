"""The straight way for what clients of a model send most: a PNG that already has the model's size, 8 bits of grey and
nothing else in it. All other bytes, damaged ones too, are for reading.py, which also knows what to say of them.
"""

import struct
import zlib

import numpy as np
from PIL import Image

from server.types import Array, ImageSpec

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"\0\0\0\0IEND\xaeB`\x82"
PLAIN = (8, 0, 0, 0, 0)  # bits, grey, deflate, the usual filters, not interlaced
FIRST = len(SIGNATURE) + 25  # where the chunk after the header begins


def straight(body: bytes, spec: ImageSpec) -> Array | None:
    """The picture (H, W) uint8, the same that reading.py makes of it; None where it is not such a one."""
    header = b"IHDR" + struct.pack(">II5B", spec.width, spec.height, *PLAIN)
    if not body.startswith(SIGNATURE + b"\0\0\0\r" + header + struct.pack(">I", zlib.crc32(header))):
        return None
    length = int.from_bytes(body[FIRST : FIRST + 4])
    chunk = body[FIRST + 4 : FIRST + 8 + length]  # its type and its data
    end = FIRST + 12 + length
    if chunk[:4] != b"IDAT" or body[end:] != END:
        return None
    try:
        picture = Image.frombytes("L", (spec.width, spec.height), chunk[4:], "zip", ("L", False))
    except ValueError:
        return None
    return np.frombuffer(picture.tobytes(), np.uint8).reshape(spec.height, spec.width)
