"""Pictures of digits, and of what is none, drawn by strokes of our own or from fonts, in the form of MNIST.

    drawn = digits(60_000, seed=1)              # drawn.images, drawn.labels, drawn.names ("7 with a serif")
    others = not_digits(10_000, seed=1)         # labels are -1, names "letter K", "scribble zigzag"
    worn = finish(drawn.images, seed=1, strength=0.5)
    held = digits(5_000, seed=1, held_out=True)  # hands and shapes of strokes that trained pictures never have

Picture number i follows from (seed, i) alone: more pictures begin with the fewer. Held-out pictures draw every style
parameter from ranges that trained ones leave out (draws.py); of letters, symbols, faces, shapes and textures they have
names of their own. `lookalikes` are letters that somebody would read as a digit: never train against them.

strokes.py is the hand and the pen, digits.py and one_and_seven.py the variants, glyphs.py letters and symbols,
shapes.py and textures.py the rest; not_digits.py lists them by kind, finish.py wears pictures out, fonts.py takes
letters from font files.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data import SIDE, Array
from training.synthetic import fonts
from training.synthetic.digits import VARIANTS as VARIANTS
from training.synthetic.draws import Draws
from training.synthetic.finish import finished
from training.synthetic.not_digits import LOOKALIKES as LOOKALIKES
from training.synthetic.not_digits import NOT_DIGITS as NOT_DIGITS
from training.synthetic.not_digits import kinds
from training.synthetic.strokes import Hand, written

NO_DIGIT = -1  # the label of a picture that shows none
_DIGITS, _NOT_DIGITS, _LOOKALIKES, _FONT_DIGITS, _FONT_LETTERS, _FINISH = range(6)  # streams of random numbers


@dataclass(frozen=True)
class Drawn:
    """images (n, 28, 28) float32 in [0, 1], 0 = paper; labels (n,) int64, NO_DIGIT where there is none; names (n,) of
    what was drawn, whose first word is the digit or the kind."""

    images: Array
    labels: Array
    names: tuple[str, ...]


def digits(count: int, seed: int, held_out: bool = False, variants: Sequence[str] = ()) -> Drawn:
    """Digits by strokes: as many of each label, and of a label as many of each variant, on the average.

    `variants`: names of VARIANTS; empty means all.
    """
    by_label: dict[str, list[str]] = {}
    for name in variants or VARIANTS:
        by_label.setdefault(name[0], []).append(name)
    labels = sorted(by_label)

    def one(draws: Draws) -> tuple[str, Array]:
        name = draws.one_of(by_label[draws.one_of(labels)])
        hand = Hand.drawn(draws)
        return name, written(VARIANTS[name](draws, hand), hand, draws.rng)

    return _drawn(count, seed, _DIGITS, held_out, one)


def not_digits(count: int, seed: int, held_out: bool = False) -> Drawn:
    """Pictures without a digit: as many of each kind, on the average."""
    names = list(kinds(held_out).values())

    def one(draws: Draws) -> tuple[str, Array]:
        name = draws.one_of(draws.one_of(names))
        return name, NOT_DIGITS[name](draws)

    return _drawn(count, seed, _NOT_DIGITS, held_out, one)


def lookalikes(count: int, seed: int) -> Drawn:
    """Letters that somebody would read as a digit: for measuring only."""
    names = list(LOOKALIKES)

    def one(draws: Draws) -> tuple[str, Array]:
        name = draws.one_of(names)
        return name, LOOKALIKES[name](draws)

    return _drawn(count, seed, _LOOKALIKES, False, one)


def font_digits(paths: Sequence[Path], count: int, seed: int) -> Drawn:
    """Digits of fonts; names are "7 FONT". Raises DataError for a file that is no font with digits."""

    def one(draws: Draws) -> tuple[str, Array]:
        path, digit = draws.one_of(paths), draws.one_of("0123456789")
        return f"{digit} {path.stem}", fonts.printed(path, digit, draws)

    return _drawn(count, seed, _FONT_DIGITS, False, one)


def font_letters(paths: Sequence[Path], count: int, seed: int) -> Drawn:
    """Letters of fonts that look like no digit; names are "letter K FONT". Raises DataError as `font_digits` does."""

    def one(draws: Draws) -> tuple[str, Array]:
        path, letter = draws.one_of(paths), draws.one_of(fonts.LETTERS)
        return f"letter {letter} {path.stem}", fonts.printed(path, letter, draws)

    return _drawn(count, seed, _FONT_LETTERS, False, one)


def finish(images: Array, seed: int, strength: float = 1.0) -> Array:
    """Images (n, 28, 28) worn as photos and scans are; at strength 0 they are as they were, at 1 still readable."""
    return np.stack([finished(image, Draws(seed, i, _FINISH), strength) for i, image in enumerate(images)])


def _drawn(count: int, seed: int, stream: int, held_out: bool, one: Callable[[Draws], tuple[str, Array]]) -> Drawn:
    images, names = np.empty((count, SIDE, SIDE), np.float32), []
    for index in range(count):
        name, images[index] = one(Draws(seed, index, stream, held_out))
        names.append(name)
    labels = [int(name[0]) if name[0].isdigit() else NO_DIGIT for name in names]
    return Drawn(images, np.array(labels, np.int64), tuple(names))
