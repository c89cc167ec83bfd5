"""Decodes base64 as clients send it, for every dialect."""

import binascii
import string
import time
from io import BytesIO

from server.routes.bodies.json_reader import PAUSE

STEP = 65536  # letters that are decoded at once, which takes 0.3 ms: other threads run between two steps
ALPHABET = (string.ascii_letters + string.digits + "+/").encode()
STANDARD = bytes.maketrans(b"-_", b"+/")
WHITE = string.whitespace.encode()
PADDING = string.whitespace + "="
DATA_URL = "data:"
ESCAPED = "+/= \r\n"  # what a URL may have percent-encoded; to decode all takes seconds


def decoded(sent: str) -> bytes:
    """The bytes behind base64: of the standard or the URL-safe alphabet, with or without padding, white space and a
    `data:` URL around it. Takes time and memory in proportion to its length.

    Raises:
        ValueError: it is something else; the message says where it breaks.
    """
    if sent[: len(DATA_URL)].lower() == DATA_URL:
        sent = _payload(sent)
    letters = sent.rstrip(PADDING)
    found, left = BytesIO(), b""
    for start in range(0, len(letters), STEP):
        packed = left + _packed(letters[start : start + STEP], sent)
        whole = len(packed) // 4 * 4
        found.write(binascii.a2b_base64(packed[:whole]))
        left = packed[whole:]
        if start:
            time.sleep(PAUSE)
    if len(left) == 1:
        letters_read = found.tell() // 3 * 4 + 1
        raise ValueError(f"its {letters_read} letters leave one over, which base64 never does; it is cut off")
    found.write(binascii.a2b_base64(left + b"=" * (-len(left) % 4)))
    return found.getvalue()


def _payload(url: str) -> str:
    """What a data: URL holds, as base64 (RFC 2397)."""
    head, comma, payload = url.partition(",")
    if not comma:
        raise ValueError("it is a data: URL without a comma, and nothing after its type")
    if not payload:
        raise ValueError(f"it is the data: URL {url[:50]!r}, which holds nothing; an empty canvas gives such a one")
    if head.rpartition(";")[2].strip().lower() != "base64":
        raise ValueError(f"it is a data: URL, but {head[:50]!r} does not end with ;base64")
    if "%" in payload:
        for letter in ESCAPED:
            code = f"%{ord(letter):02X}"
            payload = payload.replace(code, letter).replace(code.lower(), letter)
    return payload


def _packed(piece: str, sent: str) -> bytes:
    """The letters in a piece of what was sent, in the standard alphabet."""
    try:
        packed = piece.encode("ascii").translate(STANDARD, WHITE)
    except UnicodeEncodeError as error:
        raise ValueError(_broken(sent, sent.index(piece[error.start]))) from error
    if foreign := packed.translate(None, ALPHABET):
        raise ValueError(_broken(sent, sent.index(chr(foreign[0]))))
    return packed


def _broken(sent: str, at: int) -> str:
    return f"it breaks at character {at + 1}, {sent[at : at + 20]!r}"
