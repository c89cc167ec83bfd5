"""Value objects and the protocol of attacks. Beside types.py, which every layer shares."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from server.types import Array, Digit, Model, Prediction


@dataclass(frozen=True)
class AdversarialExample:
    """The nearest picture found that the model answers differently; all but `rows` are None where none was found."""

    pixels: Array | None  # (H, W) float32 in [0, 1]
    l2: float | None  # of the change, in ink: 1 = full ink of one pixel
    linf: float | None  # the largest change of a pixel, in ink
    rows: int


class Attack(Protocol):
    """A frozen dataclass whose fields are its options, as of an Explainer."""

    name: ClassVar[str]
    summary: ClassVar[str]
    paper: ClassVar[str]

    def search(
        self, model: Model, image: Array, source_class: int, target_class: int | None, seed: int
    ) -> AdversarialExample:
        """The smallest change of image (H, W) found by which the model no longer answers `source_class`; and answers
        `target_class`, unless that is None."""
        ...


@dataclass(frozen=True)
class AttackResult:
    """What an attack found, with all that is needed to render it and to compute it again."""

    digit: Digit
    prediction: Prediction
    attack: Attack
    adversarial: AdversarialExample
    changed: Prediction | None  # what is answered to the changed picture
    seed: int
    target_class: int | None
