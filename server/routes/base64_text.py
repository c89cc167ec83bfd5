"""Decodes base64 as clients send it, for every dialect."""

import binascii
import re
import string
from urllib.parse import unquote_to_bytes

ALPHABET = (string.ascii_letters + string.digits + "+/").encode()
STANDARD = bytes.maketrans(b"-_", b"+/")
WHITE = string.whitespace.encode()
FOREIGN = re.compile(r"[^A-Za-z0-9+/_\s=-]|=(?=\s*[^\s=])", re.ASCII)  # the first in a text that is not base64
DATA_URL = "data:"


def decoded(sent: str) -> bytes:
    """The bytes behind base64: of the standard or the URL-safe alphabet, with or without padding, white space and a
    `data:` URL around it. Takes time and memory in proportion to its length.

    Raises:
        ValueError: it is something else; the message says where it breaks.
    """
    if sent[: len(DATA_URL)].lower() == DATA_URL:
        sent = _payload(sent)
    try:
        return binascii.a2b_base64(sent, strict_mode=True)  # without a copy, where nothing has to be mended
    except ValueError:
        return _lenient(sent)


def _payload(url: str) -> str:
    """What a data: URL holds, as base64 (RFC 2397)."""
    head, comma, payload = url.partition(",")
    if not comma:
        raise ValueError("it is a data: URL without a comma, and nothing after its type")
    if not payload:
        raise ValueError(f"it is the data: URL {url[:50]!r}, which holds nothing; an empty canvas gives such a one")
    if head.rpartition(";")[2].strip().lower() != "base64":
        raise ValueError(f"it is a data: URL, but {head[:50]!r} does not end with ;base64")
    return unquote_to_bytes(payload).decode("latin-1") if "%" in payload else payload


def _lenient(sent: str) -> bytes:
    packed = sent.encode("utf-8", "surrogatepass").translate(STANDARD, WHITE).rstrip(b"=")
    if packed.translate(None, ALPHABET) and (foreign := FOREIGN.search(sent)):
        at = foreign.start()
        raise ValueError(f"it breaks at character {at + 1}, {sent[at : at + 20]!r}")
    if len(packed) % 4 == 1:
        raise ValueError(f"its {len(packed)} letters leave one over, which base64 never does; it is cut off")
    return binascii.a2b_base64(packed + b"=" * (-len(packed) % 4))
