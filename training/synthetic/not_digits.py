"""Pictures that show no digit, by kind and name ("letter K", "texture noise"), and lookalikes, letters that do."""

from collections.abc import Callable

from training.data import Array
from training.synthetic import glyphs, shapes
from training.synthetic.draws import Draws
from training.synthetic.strokes import Glyph, Hand, written
from training.synthetic.textures import HELD_OUT_TEXTURES, TEXTURES, Texture, framed

Picture = Callable[[Draws], Array]


def _by_hand(glyph_of: Callable[[Draws, Hand], Glyph]) -> Picture:
    def picture(d: Draws) -> Array:
        hand = Hand.drawn(d)
        return written(glyph_of(d, hand), hand, d.rng)

    return picture


def _sign(notation: str) -> Picture:
    return _by_hand(lambda d, hand: glyphs.glyph(notation))


def _shape(shape: shapes.Shape) -> Picture:
    return _by_hand(lambda d, hand: shape(d))


def _part(side: str) -> Picture:
    return _by_hand(lambda d, hand: shapes.part(d, side, hand))


def _texture(texture: Texture) -> Picture:
    return lambda d: framed(texture, d)


NOT_DIGITS: dict[str, Picture] = {
    **{f"letter {name}": _sign(notation) for name, notation in glyphs.LETTERS.items()},
    **{f"symbol {name}": _sign(notation) for name, notation in glyphs.SYMBOLS.items()},
    **{f"face {name}": _sign(notation) for name, notation in glyphs.FACES.items()},
    **{f"shape {name}": _shape(shape) for name, shape in shapes.SHAPES.items()},
    "shape blob": shapes.blob,
    "shape solid": shapes.solid,
    "shape dot": shapes.dot,
    **{f"scribble {name}": _shape(scribble) for name, scribble in shapes.SCRIBBLES.items()},
    "cross of two strokes": _shape(shapes.cross),
    **{f"part {side}": _part(side) for side in shapes.PARTS},
    "part level stroke": _by_hand(shapes.level),
    "part bow": _by_hand(shapes.bow),
    "pair side by side": _by_hand(lambda d, hand: shapes.pair(d, hand, overlaid=False)),
    "pair overlaid": _by_hand(lambda d, hand: shapes.pair(d, hand, overlaid=True)),
    **{f"texture {name}": _texture(texture) for name, texture in TEXTURES.items()},
}
LOOKALIKES: dict[str, Picture] = {f"lookalike {name}": _sign(text) for name, text in glyphs.LOOKALIKES.items()}

HELD_OUT = frozenset(
    f"{kind} {name}"
    for kind, names in {
        "letter": glyphs.HELD_OUT_LETTERS,
        "symbol": glyphs.HELD_OUT_SYMBOLS,
        "face": glyphs.HELD_OUT_FACES,
        "shape": shapes.HELD_OUT_SHAPES,
        "texture": HELD_OUT_TEXTURES,
    }.items()
    for name in names
)


def kind_of(name: str) -> str:
    return name.split()[0]


def kinds(held_out: bool) -> dict[str, list[str]]:
    """The names of each kind that a split draws: of a kind with held-out names, these or the others; else all."""
    every: dict[str, list[str]] = {}
    for name in NOT_DIGITS:
        every.setdefault(kind_of(name), []).append(name)
    return {kind: [name for name in names if (name in HELD_OUT) == held_out] or names for kind, names in every.items()}
