"""Renders explanations, comparisons and attacks as PNGs with legends and the alt text as metadata. Beside
lossless.py the only file here that imports Pillow.
"""

import functools
import io
import unicodedata

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from server.attacks.types import AttackResult
from server.render.alt import alt_text
from server.render.attack import attack_alt
from server.render.attack.panels import Scale, sheet
from server.render.colours import eight_bit
from server.render.compare import agreement_lines, comparison_alt, parts_of
from server.render.heatmap import Heatmap, heatmap, marks, paint
from server.render.language import ENGLISH, Words
from server.render.legend import BLACK, EDGE, FRAME, FRAME_WIDTH, MARGIN, TEXT, Caption, Legend, Text, legend
from server.types import Array, Comparison, Explanation, ModelCard

DRAWN = frozenset(map(chr, range(32, 127))) | frozenset("·±…")
"""Letters that Pillow's own font has. Others would be drawn as empty boxes, so they are spelt otherwise."""

ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}  # Pillow's names, on the baseline
ACROSS = 4  # maps of a comparison in one row
ENLARGED, IN_A_ROW, LINE = 4, 5, 20  # of prototypes: each pixel's side, pictures, height of a label
JPEG_BYTES = 48_000  # of a photo inside an SVG, unless it is all noise


def png_bytes(explanation: Explanation, words: Words = ENGLISH) -> bytes:
    """8 bit RGB, no smoothing but that of letters. Raises ValueError when there is a value that is not finite."""
    return _encoded(_drawn(explanation, heatmap(explanation)), alt_text(explanation, words))


def comparison_png_bytes(comparison: Comparison, words: Words = ENGLISH) -> bytes:
    """All maps side by side, those in the same unit on one scale, and below how far they agree. Raises as
    `png_bytes`."""
    parts = [_drawn(*part) for part in parts_of(comparison)]
    width, height = max(part.width for part in parts), max(part.height for part in parts)
    columns = min(len(parts), ACROSS)
    lines = agreement_lines(comparison, columns * width - 2 * MARGIN)
    rows = -(-len(parts) // columns)
    canvas = Image.new("RGB", (columns * width, rows * height + 18 * len(lines) + MARGIN), "white")
    for place, part in enumerate(parts):
        canvas.paste(part, (place % columns * width, place // columns * height))
    draw = ImageDraw.Draw(canvas)
    for line, text in enumerate(lines):
        _write(draw, Text(MARGIN, rows * height + 18 * line + 8, text, TEXT, BLACK))
    return _encoded(canvas, comparison_alt(comparison, words))


def _drawn(
    explanation: Explanation, hot: Heatmap, caption: Caption | None = None, believed: bool = False
) -> Image.Image:
    """A map with its legend."""
    minuses = marks(hot)
    frame = legend(explanation, hot, bool(minuses), caption, believed)
    canvas = Image.new("RGB", (frame.width, frame.height), "white")
    canvas.paste(Image.fromarray(paint(hot)), (frame.left, frame.top))
    draw = ImageDraw.Draw(canvas)
    height, width = hot.backdrop.grey.shape
    box = frame.left - 1, frame.top - 1, frame.left + width, frame.top + height
    draw.rectangle(box, outline=EDGE)
    for mark in minuses:
        _minus(draw, frame.left + mark.x, frame.top + mark.y, mark.half_width)
    if frame.framed:  # last: marks of cells beyond the map would lie upon it
        outer = *(start - FRAME_WIDTH for start in box[:2]), *(end + FRAME_WIDTH for end in box[2:])
        draw.rectangle(outer, outline=FRAME, width=FRAME_WIDTH)
    _bar(canvas, draw, frame)
    for text in frame.texts:
        _write(draw, text)
    return canvas


def attack_png_bytes(attacked: AttackResult, words: Words = ENGLISH) -> bytes:
    """The digit, the change and the changed digit. Raises ValueError when there is a number that is not finite."""
    drawn = sheet(attacked)
    canvas = Image.new("RGB", (drawn.width, drawn.height), "white")
    draw = ImageDraw.Draw(canvas)
    for panel in drawn.panels:
        canvas.paste(Image.fromarray(panel.picture), (panel.left, panel.top))
        height, width = panel.picture.shape[:2]
        draw.rectangle((panel.left - 1, panel.top - 1, panel.left + width, panel.top + height), outline=EDGE)
    for mark in drawn.minuses:
        _minus(draw, mark.x, mark.y, mark.half_width)
    if drawn.scale is not None:
        _bar(canvas, draw, drawn.scale)
    for text in drawn.texts:
        _write(draw, text)
    return _encoded(canvas, attack_alt(attacked, words))


def prototypes_png_bytes(card: ModelCard, prototypes: Array) -> bytes:
    """What excites each class, pictures (K, H, W) in [0, 1], dark on light, five in a row with their labels below."""
    height, width = (ENLARGED * side for side in prototypes.shape[1:])
    across = min(IN_A_ROW, len(prototypes))
    rows = -(-len(prototypes) // across)
    wide, tall = width + MARGIN, height + MARGIN + LINE
    canvas = Image.new("RGB", (across * wide + MARGIN, rows * tall + MARGIN), "white")
    draw = ImageDraw.Draw(canvas)
    for place, (prototype, label) in enumerate(zip(prototypes, card.classes, strict=True)):
        left, top = MARGIN + place % across * wide, MARGIN + place // across * tall
        picture = Image.fromarray(eight_bit(1 - prototype)).resize((width, height), Image.Resampling.NEAREST)
        canvas.paste(picture, (left, top))
        draw.rectangle((left - 1, top - 1, left + width, top + height), outline=EDGE)
        _write(draw, Text(left + width // 2, top + height + LINE - 4, label, TEXT, BLACK, "middle"))
    named = ", ".join(card.classes)
    return _encoded(canvas, f"What excites {card.name} version {card.version} most, by class: {named}.")


def photo(grey: Array, lossless: bool) -> tuple[str, bytes]:
    """A grey picture (h, w) in [0, 1] to be put into another file: media type and bytes, photos kept small."""
    image, buffer = Image.fromarray(eight_bit(grey)), io.BytesIO()
    if lossless:
        image.save(buffer, "PNG")
        return "image/png", buffer.getvalue()
    for quality in (80, 60, 40, 20, 10):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        if buffer.tell() <= JPEG_BYTES:
            break
    return "image/jpeg", buffer.getvalue()


def drawable(words: str) -> str:
    """The same words with letters that the font has: accents dropped, others as a question mark."""
    spelt = "".join(letter if letter in DRAWN else unicodedata.normalize("NFKD", letter) for letter in words)
    return "".join(letter if letter in DRAWN else "?" for letter in spelt if not unicodedata.combining(letter))


def _minus(draw: ImageDraw.ImageDraw, x: float, y: float, half: float) -> None:
    thick = max(1, round(half / 4))
    draw.rectangle((round(x - half), round(y) - thick, round(x + half) - 1, round(y) + thick - 1), fill="white")


def _bar(canvas: Image.Image, draw: ImageDraw.ImageDraw, frame: Legend | Scale) -> None:
    x, y, width, height = frame.bar
    canvas.paste(Image.fromarray(frame.bar_colours[None].repeat(height, axis=0)), (x, y))
    draw.rectangle((x, y, x + width - 1, y + height - 1), outline=EDGE)
    draw.line((frame.zero, y - 3, frame.zero, y + height + 2), fill="#1a1a1a")
    if frame.minus is not None:
        _minus(draw, frame.minus.x, frame.minus.y, frame.minus.half_width)


def _write(draw: ImageDraw.ImageDraw, text: Text) -> None:
    draw.text((text.x, text.y), drawable(text.words), text.colour, _font(text.size), ANCHORS[text.anchor])


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, so that no system needs any; at most as many are kept as the legend has sizes."""
    return ImageFont.load_default(size)


def _encoded(canvas: Image.Image, description: str) -> bytes:
    about, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    about.add_itxt("Description", description, lang="en")
    about.add_text("Software", "Inkling")
    canvas.save(buffer, "PNG", pnginfo=about, compress_level=4)  # half the time of the usual 6, a tenth more bytes
    return buffer.getvalue()
