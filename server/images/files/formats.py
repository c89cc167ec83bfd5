"""Which format the bytes of a file announce, whatever a Content-Type says; and in words, what they are instead."""

from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from server.errors import EmptyBody, UnsupportedImage


class _Jpeg(JpegImageFile):
    def _read_dpi_from_exif(self) -> None:
        """Nobody asks for the resolution, and damaged metadata would warn."""


class _WebP(WebPImageFile):
    def load_prepare(self) -> None:
        """The decoder goes when it has given its pixels, before these are copied: it holds 8 bytes for each."""
        self._decoder = None
        super().load_prepare()


READERS: tuple[tuple[bytes, type[ImageFile]], ...] = (
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
    (b"\xff\xd8\xff", _Jpeg),
    (b"GIF87a", GifImageFile),
    (b"GIF89a", GifImageFile),
    (b"BM", BmpImageFile),
)
LIKENESSES = (  # how bytes or texts begin that are no picture for us, in lower case, and what they are
    (b"ii*\0", "a TIFF picture"),
    (b"mm\0*", "a TIFF picture"),
    (b"%pdf", "a PDF document"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cjxl ", "a JPEG XL picture"),
    (b"\x93numpy", "a NumPy array"),
    (b"pk\3\4", "a ZIP archive"),
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML document or SVG drawing"),
    (b"data:image", "a data: URL; send the bytes that it encodes"),
    (b"ivborw0kggo", "a PNG in base64; send the decoded bytes"),
    (b"/9j/", "a JPEG in base64; send the decoded bytes"),
    (b"{", "JSON; send it with Content-Type: application/json"),
    (b"[", "JSON; send it with Content-Type: application/json"),
    (b"--", "a multipart form; send it with its Content-Type and boundary"),
)


def reader_of(body: bytes) -> type[ImageFile]:
    """Pillow's reader for the format that the bytes announce. Raises EmptyBody, UnsupportedImage."""
    if not body:
        raise EmptyBody(
            "the body is empty; expected a picture. Send its bytes, for example with curl --data-binary @digit.png."
        )
    if body.startswith(b"RIFF") and body[8:12] == b"WEBP":
        return _WebP
    for magic, reader in READERS:
        if body.startswith(magic):
            return reader
    raise UnsupportedImage(
        f"this is {_likeness(body)}. Expected PNG, JPEG, WebP, BMP or GIF: save or export it as one of these."
    )


def _likeness(body: bytes) -> str:
    """What bytes that are none of our formats look like, in words."""
    if body[4:8] == b"ftyp":
        brands = body[8 : min(len(body), int.from_bytes(body[:4], "big"), 64)]
        if b"avi" in brands:
            return "an AVIF picture"
        if any(brand in brands for brand in (b"hei", b"hev", b"mif1", b"msf1")):
            return "a HEIC photo; on an iPhone choose Settings > Camera > Formats > Most Compatible to take JPEG"
        return "a video"
    start = body[:64].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for beginning, name in LIKENESSES:
        if start.startswith(beginning):
            return name
    return f"no picture known here (it begins with the bytes {body[:8].hex(' ')})"
