"""Lays out the legend around a map: texts, colour bar and sizes, the same for every picture format.

Gives plain texts and boxes in pixels; knows neither fonts nor files. Words too long for the picture are cut.
"""

from dataclasses import dataclass

import numpy as np

from server.render.alt import LOOKS, SLOPES, method_name, sides
from server.render.backdrop import PAPER
from server.render.certificate import status
from server.render.colours import eight_bit, over
from server.render.heatmap import MARK_FROM, Heatmap, Mark
from server.render.language import ENGLISH
from server.render.wording import UNITS, number
from server.types import Array, Explanation, TrackRecord, Unit

MARGIN = 16
NARROWEST = 364  # of what stands between the margins: room for two captions side by side
BAR = 14  # height of the colour bar
TITLE, TEXT, SMALL = 16, 13, 12  # sizes of letters
BLACK, GREY, ALERT = "#1a1a1a", "#555555", "#9a2a00"  # on white all above 7:1
EDGE = "#8c8c8c"  # around map and bar
FRAME, FRAME_WIDTH = "#757575", 5  # around a map that is not to be believed, outside of it
LETTER = 0.52  # width of a usual letter, of its size
LONGEST = 14  # letters of a class's label in the title

QUESTIONS: dict[Unit, str] = {
    "logit_per_ink": "sensitivity of",
    "probability_per_ink": "sensitivity of",
    "score": "where it looked for",
}
"""What a map answers where that is not why."""


@dataclass(frozen=True)
class Text:
    """One line of words; y is its baseline. `anchor` says what x is: its start, middle or end."""

    x: float
    y: float
    words: str
    size: int
    colour: str
    anchor: str = "start"


@dataclass(frozen=True)
class Legend:
    """A picture of width x height pixels with a map at (left, top) and a colour bar."""

    width: int
    height: int
    left: int
    top: int
    bar: tuple[int, int, int, int]  # x, y, width, height
    bar_colours: Array  # (bar width, 3) uint8, as the scale looks on paper
    zero: float  # x of zero on the bar
    minus: Mark | None  # the bar's own minus, where the map has any
    framed: bool  # whether the map is not to be believed
    texts: tuple[Text, ...]


@dataclass(frozen=True)
class Caption:
    """Texts for a map that is the difference of two, in place of those of an explanation."""

    title: str
    how: str
    contra: str  # what values below 0 mean
    pro: str


def legend(
    explanation: Explanation,
    heatmap: Heatmap,
    marked: bool,
    caption: Caption | None = None,
    believed: bool = False,
) -> Legend:
    """`marked`: the map bears minus signs, which the bar then explains. `believed`: of several maps, it is the one to
    believe."""
    height, width = heatmap.backdrop.grey.shape
    inner = max(width, NARROWEST)
    titles, notes = _titles(explanation, inner, caption), _notes(explanation.trial, believed)
    left, top = MARGIN + (inner - width) // 2, MARGIN + 20 * len(titles) + 4
    bar = (MARGIN, top + height + 32, inner, BAR)
    below, right = bar[1] + BAR, MARGIN + inner
    centres = (np.arange(inner) + 0.5) / inner
    colours = eight_bit(over(np.full(inner, PAPER), 2 * centres - 1 if heatmap.signed else centres, heatmap.signed))
    texts = (
        *(Text(MARGIN, MARGIN + 13 + 20 * row, *title) for row, title in enumerate(titles)),
        *_ends(explanation, caption, MARGIN, right, bar[1] - 6),
        *_numbers(heatmap, MARGIN, right, below + 15),
        Text(MARGIN, below + 34, cut(_scale(explanation, heatmap), SMALL, inner), SMALL, GREY),
        *(Text(MARGIN, below + 52, cut(words, SMALL, inner), SMALL, colour) for words, colour in notes),
    )
    return Legend(
        width=inner + 2 * MARGIN,
        height=below + 34 + 18 * len(notes) + MARGIN,
        left=left,
        top=top,
        bar=bar,
        bar_colours=colours,
        zero=MARGIN + inner / 2 if heatmap.signed else MARGIN + 0.5,
        minus=Mark(MARGIN + inner * (1 - MARK_FROM) / 4, bar[1] + BAR / 2, 4) if marked else None,
        framed=explanation.trial is not None and explanation.trial.flagged,
        texts=texts,
    )


def cut(words: str, size: int, width: float) -> str:
    return _short(words, int(width / (LETTER * size)))


def _short(words: str, longest: int) -> str:
    return words if len(words) <= longest else words[: longest - 1] + "…"


def _titles(explanation: Explanation, width: float, caption: Caption | None) -> list[tuple[str, int, str]]:
    """Lines above the map: what, how, and a warning where one is due."""
    prediction, card, target = explanation.prediction, explanation.prediction.card, explanation.target
    why = _short(card.classes[target.index], LONGEST)
    if target.versus is not None:
        why += f", not {_short(card.classes[target.versus], LONGEST)}"
    answer = ENGLISH.predicted(_short(prediction.label, LONGEST), prediction.probability).rstrip(".")
    subtitle = f"{card.name} {card.version} · {method_name(explanation)} · {status(explanation.attribution)}"
    title = f"{answer} · {QUESTIONS.get(explanation.attribution.unit, 'why')} {why}"
    if explanation.attribution.unit == "share":  # which is the same for every class
        title = f"{answer} · where it looked"
    lines = [
        (cut(title if caption is None else caption.title, TITLE, width), TITLE, BLACK),
        (cut(subtitle if caption is None else caption.how, TEXT, width), TEXT, GREY),
    ]
    if not prediction.in_distribution.ok:
        lines.append(("Warning: unlike the digits the model was trained on", SMALL, ALERT))
    return lines


def _notes(trial: TrackRecord | None, believed: bool) -> list[tuple[str, str]]:
    """At most one line below all: why not to believe the map, or that it is the one of several to believe."""
    if trial is None or not trial.flagged:
        return [("Of these, the one to believe", BLACK)] if believed else []
    found, total = trial.named_cause
    named = [f"named a known cause in {found} of {total}"] if trial.misses_cause else []
    return [(" · ".join(named + ["loses to the ink alone"] * trial.loses_to_ink), ALERT)]


def _ends(explanation: Explanation, caption: Caption | None, left: float, right: float, y: float) -> tuple[Text, Text]:
    """What each end of the bar means."""
    if caption is not None:
        pro, contra = caption.pro, caption.contra
    else:
        side, other = sides(explanation.target, explanation.prediction.card.classes)
        contra, pro = meanings(explanation.attribution.unit, explanation.explainer.signed, side, other)
    half = (right - left) / 2
    return Text(left, y, cut(contra, TEXT, half), TEXT, BLACK), Text(right, y, cut(pro, TEXT, half), TEXT, BLACK, "end")


def meanings(unit: Unit, signed: bool, side: str, other: str | None) -> tuple[str, str]:
    """What the lowest and the highest values of a map say of the class that it explains, and of the one that it is
    contrasted with."""
    if unit in LOOKS:
        return "did not look", "looked here most"
    if not signed:
        return "does not react", "reacts most"
    if unit in SLOPES:
        return f"more ink hurts {side}" if other is None else f"more ink helps {other}", f"more ink helps {side}"
    return f"speaks against {side}" if other is None else f"speaks for {other}", f"speaks for {side}"


def _numbers(heatmap: Heatmap, left: float, right: float, y: float) -> tuple[Text, ...]:
    """Limits and zero. A map that is zero everywhere has no limits to tell."""
    limit = number(heatmap.limit)
    middle, anchor = ((left + right) / 2, "middle") if heatmap.signed else (left, "start")
    zero = Text(middle, y, "0", TEXT, BLACK, anchor)
    if heatmap.limit == 0:
        return (zero,)
    if not heatmap.signed:
        return zero, Text(right, y, limit, TEXT, BLACK, "end")
    return Text(left, y, f"-{limit}", TEXT, BLACK), zero, Text(right, y, f"+{limit}", TEXT, BLACK, "end")


def unit(explanation: Explanation) -> str:
    """What the numbers of a map are. Maps of which this says the same can share a scale."""
    words = UNITS[explanation.attribution.unit]
    if explanation.attribution.segments is not None and not explanation.attribution.fine:
        words += " per segment"
    adds_up = explanation.explainer.complete and explanation.attribution.unit in ("logit", "probability")
    return words + ", adding up" * adds_up


def _scale(explanation: Explanation, heatmap: Heatmap) -> str:
    """The unit, and what the bar does not show."""
    words = unit(explanation)
    if heatmap.limit == 0:
        words += " · zero everywhere"
    elif heatmap.clipped:
        sign = "±" if heatmap.signed else ""
        words += f" · clipped at {sign}{number(heatmap.limit)}, largest {number(heatmap.largest)}"
    return words + (" · inverted" if heatmap.backdrop.negative else "")
