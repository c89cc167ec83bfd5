"""Lays out an attack's result as one picture: the digit, the change, the changed digit, side by side. Numpy, no file
format.

Where nothing was found, the digit and words that say so.
"""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from server.attacks.types import AttackResult
from server.render.attack import change, outcome_sentences
from server.render.backdrop import PAPER, Backdrop
from server.render.colours import eight_bit, over
from server.render.heatmap import MARK_FROM, Heatmap, Mark, marks, paint
from server.render.json import options
from server.render.legend import ALERT, BAR, BLACK, GREY, LETTER, MARGIN, SMALL, TEXT, TITLE, Text, cut
from server.render.wording import number, percent
from server.types import Array, Prediction

SIDE = 280  # pixels that the longer side of a panel comes near; 28 become 280
GAP = 36  # between panels: room for a sign
TOP = MARGIN + 44  # of the panels, below two lines of words
DARKEST = 0.1  # full ink in a digit's panel


@dataclass(frozen=True)
class Panel:
    """A picture (h, w, 3) uint8 with its upper left corner at (left, top)."""

    left: int
    top: int
    picture: Array


@dataclass(frozen=True)
class Scale:
    """A colour bar, as in a Legend."""

    bar: tuple[int, int, int, int]  # x, y, width, height
    bar_colours: Array  # (bar width, 3) uint8
    zero: float
    minus: Mark | None


@dataclass(frozen=True)
class Sheet:
    """All that is to be drawn, in pixels of a picture of width x height."""

    width: int
    height: int
    panels: tuple[Panel, ...]
    scale: Scale | None
    minuses: tuple[Mark, ...]
    texts: tuple[Text, ...]


def sheet(attacked: AttackResult) -> Sheet:
    """Raises ValueError when there is a number that is not finite."""
    times = max(1, round(SIDE / max(attacked.digit.pixels.shape)))
    height, width = (times * side for side in attacked.digit.pixels.shape)
    lefts = [MARGIN + column * (width + GAP) for column in range(3)]
    below = TOP + height
    digit = Panel(lefts[0], TOP, _digit(attacked.digit.pixels, times))
    texts = (*_heads(lefts[0], width, _answer(attacked.prediction), "as the model takes it"),
             *_facts(attacked, lefts[0], below, width))  # fmt: skip
    height = below + 66 + MARGIN
    if attacked.changed is None or attacked.adversarial.pixels is None:
        paragraph = _paragraph(" ".join(outcome_sentences(attacked)), lefts[1], width)
        return Sheet(lefts[2] - GAP + MARGIN, height, (digit,), None, (), (*texts, *paragraph))
    hot = _heatmap(attacked, times)
    minuses = tuple(Mark(lefts[1] + one.x, TOP + one.y, one.half_width) for one in marks(hot))
    panels = (
        digit,
        Panel(lefts[1], TOP, paint(hot)),
        Panel(lefts[2], TOP, _digit(attacked.adversarial.pixels, times)),
    )
    texts += (
        *_heads(
            lefts[1], width, f"change: L2 {number(attacked.adversarial.l2 or 0)}", f"largest {number(hot.limit)} of ink"
        ),
        *_heads(lefts[2], width, _answer(attacked.changed), "with the change"),
        *_signs(lefts, (TOP + below) / 2),
        *_ends(hot, lefts[1], below, width),
    )
    scale = _scale(lefts[1], below + 28, width, bool(minuses))
    return Sheet(lefts[2] + width + MARGIN, height, panels, scale, minuses, texts)


def _digit(pixels: Array, times: int) -> Array:
    return eight_bit(np.repeat((PAPER + (DARKEST - PAPER) * _enlarged(pixels, times))[..., None], 3, axis=2))


def _enlarged(pixels: Array, times: int) -> Array:
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def _heatmap(attacked: AttackResult, times: int) -> Heatmap:
    """The change upon empty paper, so that no change is white; its largest pixel is the scale's limit."""
    changed = change(attacked)
    limit = float(np.abs(changed).max())
    paper = np.full([times * side for side in changed.shape], PAPER, np.float32)
    backdrop = Backdrop(paper, (times, 0.0, 0.0, 0.0, times, 0.0))
    levels = changed / limit if limit else changed
    return Heatmap(levels, True, limit, limit, None, attacked.digit.pixels >= 0.5, backdrop)


def _answer(prediction: Prediction) -> str:
    return f"{prediction.label} ({percent(prediction.probability)})"


def _heads(left: float, width: float, title: str, below: str) -> Iterator[Text]:
    """The two lines above a panel."""
    yield Text(left, MARGIN + 13, cut(title, TITLE, width), TITLE, BLACK)
    yield Text(left, MARGIN + 33, cut(below, TEXT, width), TEXT, GREY)


def _facts(attacked: AttackResult, left: float, top: float, width: float) -> Iterator[Text]:
    """Below the digit: which model, which attack, and a warning where one is due."""
    card, attack = attacked.prediction.card, attacked.attack
    option_text = ", ".join(f"{name} {value:g}" for name, value in options(attack).items())
    yield Text(left, top + 20, cut(f"{card.name} {card.version} · {attack.name}", TEXT, width), TEXT, GREY)
    yield Text(left, top + 38, cut(option_text, SMALL, width), SMALL, GREY)
    if not attacked.prediction.in_distribution.ok:
        yield Text(left, top + 56, cut("Warning: unlike the digits of training", SMALL, width), SMALL, ALERT)


def _signs(lefts: list[int], y: float) -> Iterator[Text]:
    """Digit + change = changed digit."""
    yield Text(lefts[1] - GAP / 2, y + 8, "+", 24, GREY, "middle")
    yield Text(lefts[2] - GAP / 2, y + 8, "=", 24, GREY, "middle")


def _ends(hot: Heatmap, left: float, top: float, width: float) -> Iterator[Text]:
    """Around the bar: what each end means, the limits and their unit."""
    right, limit = left + width, number(hot.limit)
    yield Text(left, top + 20, "ink removed", TEXT, BLACK)
    yield Text(right, top + 20, "ink added", TEXT, BLACK, "end")
    below = top + 28 + BAR + 15
    yield Text(left, below, f"-{limit}", TEXT, BLACK)
    yield Text(left + width / 2, below, "0", TEXT, BLACK, "middle")
    yield Text(right, below, f"+{limit}", TEXT, BLACK, "end")
    yield Text(left, below + 19, cut("1 = full ink of one pixel", SMALL, width), SMALL, GREY)


def _scale(left: int, top: int, width: int, marked: bool) -> Scale:
    levels = 2 * (np.arange(width) + 0.5) / width - 1
    minus = Mark(left + width * (1 - MARK_FROM) / 4, top + BAR / 2, 4) if marked else None
    return Scale((left, top, width, BAR), eight_bit(over(np.full(width, PAPER), levels, True)), left + width / 2, minus)


def _paragraph(words: str, left: float, width: float) -> Iterator[Text]:
    """A paragraph beside the digit."""
    for row, line in enumerate(textwrap.wrap(words, int(width / (LETTER * TEXT)))):
        yield Text(left, TOP + 13 + 20 * row, line, TEXT, BLACK)
