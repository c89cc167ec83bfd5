"""The sentences of answers in English. chinese.py says the same."""

from collections.abc import Sequence

from server.render.wording import number, percent, whole
from server.types import PLACES as NAMES_OF_PLACES
from server.types import Belief, Kind, Output, Place, Quality, Section, Stop, TrackRecord

PLACES = (
    "in the upper left", "at the top", "in the upper right",
    "on the left", "in the middle", "on the right",
    "in the lower left", "at the bottom", "in the lower right",
)  # fmt: skip
WHERE = dict(zip(NAMES_OF_PLACES, PLACES, strict=True))
KINDS: dict[Kind, str] = {
    "bar": "bar", "stem": "stem", "slant": "slanting line", "curve": "curve", "loop": "loop", "dot": "dot",
    "ink": "ink", "gap": "gap",
}  # fmt: skip
SECTIONS: dict[Section, str] = {
    "upper": "the upper part of ", "middle": "the middle of ", "lower": "the lower part of ",
    "left": "the left side of ", "right": "the right side of ", "top": "the top of ", "bottom": "the bottom of ",
}  # fmt: skip

UNMEASURABLE = "This map cannot be measured: the picture has too little ink to take any away."
TOO_FEW = "There are too few different cells to tell whether this map is better than a random order"

NO_BELIEF = {
    "untried": "None of these was tried on nets whose cause is known.",
    "flagged": "Believe none of these: each that was tried names known causes too seldom, or loses to the ink alone.",
    "models": "A trial tells which method to believe for one net, and these are of different nets.",
}
"""Why none of several explanations is to be believed before the others."""


class English:
    """Sentences, each with its stop. Shares are in [0, 1]; names of parts are as `part` gives them."""

    places = PLACES
    rows = ("in the upper third", "in the middle third", "in the lower third")
    strange = "Warning: this does not look like a digit the model was trained on."
    uncertain = "The order of the strongest places is not certain at this number of samples."
    exact = "Exact: the method's own definition, without samples or steps."

    def join(self, sentences: Sequence[str]) -> str:
        return " ".join(sentences)

    def predicted(self, label: str, probability: float) -> str:
        return f"Predicted {label} ({percent(probability)})."

    def alternatives(self, labels: Sequence[str]) -> str:
        """What else it may be, the likeliest first."""
        return f"It may also be {' or '.join(labels)}."

    def method(self, name: str, is_reference: bool) -> str:
        return f"{name} (reference package)" if is_reference else name

    def target(self, pro: str, contra: str | None) -> str:
        return pro if contra is None else f"{pro}, not {contra}"

    def score(self, pro: str, contra: str | None, output: Output) -> str:
        """What is explained, as a thing that can fall."""
        if contra is not None:
            return f"the lead of {pro} over {contra}"
        return f"the score for {pro}" if output == "logit" else f"the probability of {pro}"

    def part(self, kind: Kind, place: Place | None, section: Section | None) -> str:
        """What a person would point at: the upper part of the stem on the right."""
        of = "" if section is None else SECTIONS[section]
        return f"{of}the {KINDS[kind]}" + ("" if place is None else f" {WHERE[place]}")

    def removal(self, part: str, score: str, drop: float) -> str:
        """The removal test: the costliest part, and by how much the score falls without it."""
        if drop <= 0:
            return f"Removal test: {score} falls without no single part."
        return f"Removal test: without {part}, {score} falls most, by {number(drop)}."

    def closing(self, gap: str, drop: float) -> str:
        """An opening that counts more than any ink."""
        return f"With {gap} closed by a stroke, it would fall by {number(drop)}."

    def zero(self, target: str, method: str) -> str:
        return f"{self._why(target, method)} the map is zero everywhere."

    def evidence(
        self, target: str, method: str, pro: str, total: float, most: tuple[str, float] | None, paper: float
    ) -> str:
        """How much of all evidence is for `pro`, the part of the digit that has most of it, and what lies beside."""
        why = self._why(target, method)
        if total <= 0:
            return f"{why} nothing speaks for {pro}."
        return f"{why} {whole(total)} of all evidence speaks for {pro}{self._where(most, paper)}."

    def beside(self, part: str, share: float, differs: bool) -> str:
        """What a map says of the part of the removal test, which it does not name first."""
        if differs:
            return f"Map and removal test differ: the map has {whole(share)} on {part}."
        return f"On {part} it is {whole(share)}."

    def counter(self, side: str, is_class: bool, total: float, most: tuple[str, float] | None, paper: float) -> str:
        """The other side: against a class, or for the other of two."""
        towards = f"{'for' if is_class else 'against'} {side}"
        if total < 0.005:
            return f"{'Nothing' if total <= 0 else 'Less than 1 %'} speaks {towards}."
        return f"{whole(total)} speaks {towards}{self._where(most, paper)}."

    def sensitivity(self, method: str, score: str, most: tuple[str, float] | None, paper: float) -> str:
        """What the answer reacts to, which is no evidence."""
        if most is None:
            return f"Sensitivity, by {method}: {score} reacts to changes of empty paper alone."
        beside = f"; {whole(paper)} is on empty paper" if paper else ""
        return (
            f"Sensitivity, by {method}: {score} reacts most to changes at {most[0]} ({whole(most[1])} of all){beside}."
        )

    def _where(self, most: tuple[str, float] | None, paper: float) -> str:
        places = [] if most is None else [f"the largest share, {whole(most[1])}, lies on {most[0]}"]
        places += [f"{whole(paper)} on empty paper"] if paper else []
        return "".join(f"; {place}" for place in places)

    def look(self, method: str, ranking: Sequence[tuple[str, float]]) -> str:
        """Where a net looked in the box of the digit; an empty `ranking` says that no place stands out."""
        if not ranking:
            return f"Where it looked, by {method}: almost evenly all over the digit."
        where = ", then ".join(f"{place} ({whole(share)})" for place, share in ranking)
        return f"Where it looked in the digit, by {method}: mostly {where}. That does not say what for."

    def approximate(self, gap: float | None, is_corrected: bool, order: float | None) -> str:
        """What is known of values that are not exact: how far they miss their sum, and how certain their order is."""
        sentence = "Approximate: all samples that the options ask for were taken"
        if gap is not None:
            sentence = f"Approximate: the values sum to the score within {100 * gap:.2g} %"
            sentence += ", before that was corrected" * is_corrected
        if order is not None:
            sentence += f"; the order of the three strongest values is right with a probability of {percent(order)}"
        elif is_corrected:
            sentence += "; one round of samples cannot say how certain the order is"
        return f"{sentence}."

    def partial(self, stop: Stop | None) -> str:
        ended = "the time was up" if stop == "budget" else "its options ended"
        return f"This is a partial result: {ended} before the method was done."

    def note(self, warning: str) -> str:
        return f"Note: {warning if warning.endswith(('.', '!', '?')) else warning + '.'}"

    def changed(self, l2: float, linf: float, label: str, probability: float, method: str) -> str:
        length = f"L2 {number(l2)} (1 is the full ink of one pixel), largest {number(linf)} of ink"
        return f"Changed by {length}, the picture is answered {label} ({percent(probability)}), by {method}."

    def moved(self, added: int | None, removed: int | None) -> str:
        pairs = (("added", added), ("removed", removed))
        return ", ".join(f"most ink is {verb} {PLACES[at]}" for verb, at in pairs if at is not None).capitalize() + "."

    smaller = "A smaller change that does the same may exist."

    def unchanged(self, method: str, tried: str, otherwise: str | None, options: Sequence[str]) -> tuple[str, str]:
        return (
            f"{method} ({tried}) found no picture that is answered {otherwise or 'otherwise'}.",
            f"One may exist all the same: raise {' or '.join(options)}, or try another method or seed.",
        )

    def difference(self, parts: Sequence[tuple[str, int, float]]) -> str:
        """Which version says more where: its number, the place, and the share of all difference."""
        said = [
            f"version {which} says more {PLACES[at]}, {whole(share)} of all difference" for which, at, share in parts
        ]
        return f"Difference: {'; '.join(said) or 'none'}."

    def agreement(self, pairs: Sequence[tuple[str, str, float | None]]) -> str:
        texts = [f"{one} and {other} {'not defined' if rank is None else f'{rank:.2f}'}" for one, other, rank in pairs]
        return f"Agreement on ink (rank correlation, 1 is the same order): {', '.join(texts)}."

    def verdict(self, quality: Quality) -> str:
        """By which measures of faithfulness the map is better than its controls, is not, or cannot be told from
        them."""
        if not quality.measures:
            return "There was no time to measure how faithful this map is; raise budget_ms."
        sentences = [] if quality.faithful else [UNMEASURABLE]
        random, ink, unknown = quality.doubts
        pairs = (("not clearly better than a random order", random), ("no better than the ink alone", ink))
        doubts = [f"{outcome} by {_listed(names)}" for outcome, names in pairs if names]
        told = [one.name for one in quality.faithful if one.name not in unknown]
        if doubts:
            sentences.append(f"This map is {' and '.join(doubts)}.")
        elif told:
            sentences.append(f"This map is better than a random order and than the ink alone by {_listed(told)}.")
        if unknown:
            sentences.append(f"{TOO_FEW} by {_listed(unknown)}.")
        if not quality.finished:
            sentences.append("There was no time for the other measures; raise budget_ms.")
        return self.join(sentences)

    def trial(self, method: str, record: TrackRecord) -> str:
        """How a method did where the cause is known, as one sentence."""
        found, total = record.named_cause
        loses = ", and it loses to the ink alone" if record.misses_cause else ", but it loses to the ink alone"
        doubt = loses * record.loses_to_ink + "; do not take its word" * record.flagged
        return f"On nets like this one whose cause is known, {method} named it in {found} of {total} pictures{doubt}."

    def belief(self, belief: Belief, method: str, record: TrackRecord | None) -> str:
        """Which of several explanations is to be believed, by `method` and with its `record`, or why none is named."""
        if record is None:
            return NO_BELIEF[belief.reason]
        found, total = record.named_cause
        yardstick = f"its yardstick is {number(record.yardstick)}, that of the ink alone {number(record.ink)}"
        return f"Of these, believe {method}: it named a known cause in {found} of {total} pictures, and {yardstick}."

    def _why(self, target: str, method: str) -> str:
        return f"Why {target}, by {method}:"


def _listed(names: Sequence[str]) -> str:
    plain = [name.replace("_auc", "").replace("_", "-") for name in names]
    return plain[0] if len(plain) == 1 else f"{', '.join(plain[:-1])} and {plain[-1]}"
