"""Decodes base64 as clients send it, for every dialect."""

import binascii
import string

ALPHABET = (string.ascii_letters + string.digits + "+/").encode()
STANDARD = bytes.maketrans(b"-_", b"+/")
WHITE = string.whitespace.encode()
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
    if "%" in payload:
        for letter in ESCAPED:
            code = f"%{ord(letter):02X}"
            payload = payload.replace(code, letter).replace(code.lower(), letter)
    return payload


def _lenient(sent: str) -> bytes:
    try:
        packed = sent.encode("ascii").translate(STANDARD, WHITE).rstrip(b"=")
    except UnicodeEncodeError as error:
        raise ValueError(_broken(sent, error.start)) from error
    if foreign := packed.translate(None, ALPHABET):
        raise ValueError(_broken(sent, sent.index(chr(foreign[0]))))
    if len(packed) % 4 == 1:
        raise ValueError(f"its {len(packed)} letters leave one over, which base64 never does; it is cut off")
    return binascii.a2b_base64(packed + b"=" * (-len(packed) % 4))


def _broken(sent: str, at: int) -> str:
    return f"it breaks at character {at + 1}, {sent[at : at + 20]!r}"
