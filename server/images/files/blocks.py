"""Walks the blocks of a file (a PNG's chunks, a GIF's blocks, a JPEG's segments) without decoding any: what does not
matter is left out, and more blocks than a picture needs are refused.

Pillow reads blocks one by one in Python, and keeps or unpacks what stands in them, which takes seconds and hundreds of
megabytes for files that are made for it.
"""

import re
from dataclasses import dataclass
from itertools import count

from server.errors import ImageTooLarge

MOST_BLOCKS = 10_000  # that are read of any file; beyond them those of a PNG or GIF ...
LEAST_BLOCK = 64  # ... must have this many bytes on average
MOST_SEGMENTS = 1000  # before a JPEG's first scan
EXIF_SEGMENTS = 10  # that one of EXIF counts as: Pillow copies all EXIF before it

PNG_START = 8  # bytes before the first chunk
PNG_CHUNKS = {b"tRNS", b"eXIf"}  # that say what a picture looks like, beside those in capitals (critical ones)
PNG_END = b"IEND"

EXTENSION, FRAME, TRAILER = b"!", b",", b";"  # how a GIF's blocks begin
CONTROL = 0xF9  # the extension that says which colour is transparent

START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9  # of a JPEG
FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
ARITHMETIC = range(0xC9, 0xD0)
PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
PADDING = 0xFF
WITHOUT_LENGTH = {0x00, 0x01, *range(0xD0, 0xD9), PADDING}  # no marker, markers without a segment, padding
MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")


@dataclass(frozen=True, slots=True)
class FirstFrame:
    """A GIF of the first frame alone (`body`), how many pixels it takes, with its screen; and whether there are more
    frames."""

    body: bytes
    width: int
    height: int
    is_animated: bool


@dataclass(frozen=True, slots=True)
class JpegHead:
    """What stands before a JPEG's first scan: whether that is one of several, and how it is coded."""

    scan: int  # where it begins, in bytes
    is_multiscan: bool
    is_arithmetic: bool


def essential_png(body: bytes) -> bytes:
    """The PNG without texts, profiles and frames of an animation. Raises ImageTooLarge for too many chunks."""
    kept, since, at = [], 0, PNG_START
    for number in count():
        _check_count(number, body, "PNG", "chunks")
        kind = body[at + 4 : at + 8]
        end = at + 12 + int.from_bytes(body[at : at + 4], "big")
        if kind == PNG_END or end > len(body):  # what is cut short is for the decoder to say
            break
        if kind[0] >= ord("a") and kind not in PNG_CHUNKS:
            kept.append(body[since:at])
            since = end
        at = end
    return b"".join([*kept, body[since:]]) if kept else body


def first_frame(body: bytes) -> FirstFrame | None:
    """The first frame of a GIF; None where the file ends before it does. Raises ImageTooLarge for too many blocks."""
    at = start = 13 + _table(body[10])
    control = b""
    for number in count():
        _check_count(number, body, "GIF", "blocks")
        kind = body[at : at + 1]
        if kind == FRAME:
            break
        if kind in (b"", TRAILER):
            return None
        if kind == EXTENSION:
            end = _after(body, at + 2)
            control = body[at:end] if body[at + 1] == CONTROL else control
            at = end
        else:
            at += 1
    left, top, width, height = (int.from_bytes(body[place : place + 2], "little") for place in range(at + 1, at + 9, 2))
    end = _after(body, at + 11 + _table(body[at + 9]))
    alone = b"".join((body[:start], control, body[at:end], b";"))
    screen = (int.from_bytes(body[place : place + 2], "little") for place in (6, 8))
    width, height = (max(pair) for pair in zip(screen, (left + width, top + height), strict=True))
    return FirstFrame(alone, width, height, _has_frame(body, end))


def _has_frame(body: bytes, at: int) -> bool:
    """Whether a GIF has a frame from here on."""
    for number in count():
        _check_count(number, body, "GIF", "blocks")
        kind = body[at : at + 1]
        if kind in (b"", TRAILER, FRAME):
            return kind == FRAME
        at = _after(body, at + 2) if kind == EXTENSION else at + 1
    raise AssertionError  # count() never ends


def _table(flags: int) -> int:
    """Bytes of a GIF's table of colours, as the flags before it tell."""
    return 3 * (2 << (flags & 7)) if flags & 0x80 else 0


def _after(body: bytes, at: int) -> int:
    """Where the sub-blocks of a GIF that begin here end, in bytes."""
    try:
        while size := body[at]:
            at += 1 + size
    except IndexError:
        return len(body)
    return at + 1


def jpeg_head(body: bytes) -> JpegHead | None:
    """What stands before the first scan of a JPEG; None where there is none. Raises ImageTooLarge for too many
    segments, or bytes between them."""
    coding = components = segments = 0
    at = 2
    while segments <= MOST_SEGMENTS:
        marked = body.find(b"\xff", at)
        if marked < 0 or marked + 4 > len(body):
            return None
        is_exif = body.startswith(b"Exif\0\0", marked + 4)
        segments += (EXIF_SEGMENTS if is_exif else 1) + marked - at
        at, marker = marked, body[marked + 1]
        if marker == START_OF_SCAN:
            return JpegHead(at, coding in PROGRESSIVE or body[at + 4] < components, coding in ARITHMETIC)
        if marker in WITHOUT_LENGTH:
            at += 1 if marker == PADDING else 2
            continue
        if marker in FRAME_HEADERS and at + 9 < len(body):
            coding, components = marker, body[at + 9]
        at += 2 + int.from_bytes(body[at + 2 : at + 4], "big")
    raise ImageTooLarge(
        f"the JPEG has more than {MOST_SEGMENTS} segments before its picture, which take long to read; save it again "
        "without its metadata"
    )


def count_scans(body: bytes, head: JpegHead, most: int) -> int:
    """The scans that a JPEG's decoder reads, `most` + 1 where there are more: those of previews in the metadata, and
    what follows the end of the picture, are none."""
    if not head.is_multiscan:
        return 1
    marks = body.count(b"\xff\xda")
    if marks <= most:  # nearly always; it never has more scans than marks
        return marks
    scans, at = 0, head.scan
    while scans <= most and (found := MARKER.search(body, at)):
        at, marker = found.end(), body[found.end() - 1]
        if marker == END_OF_IMAGE:
            break
        scans += marker == START_OF_SCAN
        at += int.from_bytes(body[at : at + 2], "big")
    return scans


def _check_count(number: int, body: bytes, kind: str, name: str) -> None:
    most = max(MOST_BLOCKS, len(body) // LEAST_BLOCK)
    if number > most:
        raise ImageTooLarge(
            f"the {kind} has more than {most:,} {name}, which take long to read; save it again in another program"
        )
