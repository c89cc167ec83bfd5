"""How many pixels a GIF unfolds to. Pillow reads its first frame alone; TensorFlow unpacks every one, however large a
later one is.
"""

import struct

FRAME = struct.Struct("<4xHHB")  # after its mark: left and top, width, height, flags
HEADER = 13  # bytes; the flags are the eleventh


def unfolded(body: bytes) -> int:
    """Pixels of all frames that begin in the bytes, each counted as wide as the widest and as high as the highest.
    Nothing is decoded."""
    frames = width = height = 0
    at = HEADER + _colours(body[10])
    while at + 1 + FRAME.size <= len(body) and body[at] in b",!":
        if body[at] == ord(","):
            *size, flags = FRAME.unpack_from(body, at + 1)
            frames, width, height = frames + 1, max(width, size[0]), max(height, size[1])
            at += 1 + FRAME.size + _colours(flags) + 1
        else:
            at += 2
        while at < len(body) and body[at]:  # blocks, each with its length before it
            at += 1 + body[at]
        at += 1
    return frames * width * height


def _colours(flags: int) -> int:
    """Bytes of the table of colours that the flags announce."""
    return 3 * (2 << (flags & 7)) if flags & 0x80 else 0
