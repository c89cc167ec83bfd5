"""The sentences of answers in English. chinese.py says the same."""

from collections.abc import Sequence

from server.render.wording import number, percent, whole
from server.types import Quality, Unit

PLACES = (
    "in the upper left", "at the top", "in the upper right",
    "on the left", "in the centre", "on the right",
    "in the lower left", "at the bottom", "in the lower right",
)  # fmt: skip
STRENGTHS: dict[Unit, str] = {
    "logit": "influence",
    "probability": "influence",
    "logit_per_ink": "sensitivity",
    "probability_per_ink": "sensitivity",
    "share": "attention",
    "score": "importance",
}
"""What an unsigned map shows, as one noun."""

UNMEASURABLE = "This map cannot be measured: the picture has too little ink to take any away."
TOO_FEW = "There are too few different cells to tell whether this map is better than a random order"


class English:
    """Sentences, each with its stop. Places are numbers of PLACES; shares are in [0, 1]."""

    places = PLACES
    strange = "Warning: this does not look like a digit the model was trained on."
    partial = "This is a partial result: the method was stopped before it was done."

    def join(self, sentences: Sequence[str]) -> str:
        return " ".join(sentences)

    def predicted(self, label: str, probability: float) -> str:
        return f"Predicted {label} ({percent(probability)})."

    def method(self, name: str, is_reference: bool) -> str:
        return f"{name} (reference package)" if is_reference else name

    def target(self, pro: str, contra: str | None) -> str:
        return pro if contra is None else f"{pro}, not {contra}"

    def zero(self, target: str, method: str) -> str:
        return f"{self._why(target, method)} the map is zero everywhere."

    def evidence(self, target: str, method: str, pro: str, ranking: Sequence[tuple[int, float]]) -> str:
        """Where the evidence for `pro` lies: places and their shares, or nothing."""
        if not ranking:
            return f"{self._why(target, method)} nothing speaks for {pro}."
        (place, share), *others = ranking
        then = "".join(f", {whole(share)} {PLACES[place]}" for place, share in others)
        return f"{self._why(target, method)} {whole(share)} of the evidence for {pro} lies {PLACES[place]}{then}."

    def counter(self, side: str, is_class: bool, place: int, share: float, notable: float) -> str:
        """The strongest evidence on the other side: against a class, or for the other of two."""
        towards = f"for {side}" if is_class else f"against {side}"
        if share < notable:
            return f"No place holds {whole(notable)} or more of all evidence {towards}."
        return f"The strongest evidence {towards} lies {PLACES[place]} and is {whole(share)} of all evidence."

    def strength(self, target: str, method: str, unit: Unit, ranking: Sequence[tuple[int, float]]) -> str:
        """Where an unsigned map is strongest; an empty `ranking` says that it is even."""
        what = f"{self._why(target, method)} the model's {STRENGTHS[unit]} is"
        if not ranking:
            return f"{what} spread almost evenly over the picture."
        (place, share), *others = ranking
        then = "".join(f", then {PLACES[place]} ({whole(share)})" for place, share in others)
        return f"{what} greatest {PLACES[place]} ({whole(share)} of it){then}."

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

    def _why(self, target: str, method: str) -> str:
        return f"Why {target}, by {method}:"


def _listed(names: Sequence[str]) -> str:
    plain = [name.replace("_auc", "").replace("_", "-") for name in names]
    return plain[0] if len(plain) == 1 else f"{', '.join(plain[:-1])} and {plain[-1]}"
