"""A version's card for people: Markdown with the front matter of the Hugging Face Hub, all of it from the card's JSON.

Mitchell et al., Model Cards for Model Reporting (2019), arXiv:1810.03993; the front matter is that of
https://huggingface.co/docs/hub/model-cards.
"""

from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from typing import Any, cast

from server.types import Explainer, ModelCard, TrackRecord

Tried = Sequence[tuple[Explainer, TrackRecord]]

MEASURED = {  # of the card's metrics: what is said of each, and whether it is a share
    "accuracy": ("test images read right", True),
    "accuracy_augmented": ("the same, rotated, scaled, sheared, shifted, thinner or thicker", True),
    "accuracy_corrupted": ("some of them after fifteen corruptions that nothing was trained on, in the mean", True),
    "ece": ("mean gap between probability and share of right answers (ECE)", True),
    "nll": ("negative log-likelihood, in nats", False),
    "in_distribution": ("test images that count as digits", True),
    "noise_in_distribution": ("pictures of noise that count as digits", True),
}


def card_markdown(card: ModelCard, tried: Tried) -> str:
    """Markdown; `tried` is what the version's trial found, the method to believe first leading."""
    parts = (_front_matter, _what, _training, _metrics, _doubt, partial(_explanations, tried), _limits)
    return "\n\n".join(part(card) for part in parts) + "\n"


def _front_matter(card: ModelCard) -> str:
    lines = ["---", "license: apache-2.0", "library_name: tensorflow", "pipeline_tag: image-classification"]
    lines += ["tags:", "- digits", "- explainability", f"- {card.architecture}"]
    accuracy = card.metrics.get("accuracy")
    if accuracy is not None:
        lines += [
            "model-index:",
            f"- name: {card.name}",
            "  results:",
            "  - task: {type: image-classification}",
            f"    dataset: {{type: {_quoted(_data(card))}, name: {_quoted(_data(card))}}}",
            f"    metrics: [{{type: accuracy, value: {accuracy}}}]",
        ]
    return "\n".join([*lines, "---"])


def _what(card: ModelCard) -> str:
    image = f"{card.image.height} x {card.image.width} pixels in [0, 1], 0 = paper"
    about = (
        f"# {card.name}, version {card.version}\n\n"
        f"Reads one handwritten digit from {image}: {', '.join(card.classes)}. Architecture: {card.architecture}. "
        f"Its card is `{card.digest}`."
    )
    if card.quantization is None:
        return about
    found = card.quantization
    return (
        f"{about}\n\nThe file that predicts is quantised ({found.scheme}): of {found.images:,} images it gave "
        f"{found.same_labels:.2%} the label of the net that is explained, and logits that differed by "
        f"{found.max_error:.2g} at most."
    )


def _training(card: ModelCard) -> str:
    facts = {key: value for key, value in card.training.items() if key != "data"}
    data = card.training.get("data")
    known = ""
    if isinstance(data, dict) and "train" in data:
        known = f"Trained on {data['train']:,} images of {_data(card)}."
    if "parent" in facts:
        known += f" It went on from {facts['parent']}."
    rows = [(key.replace("_", " "), _plain(value)) for key, value in facts.items() if key != "parent"]
    return "\n\n".join(part for part in ("## Training", known.strip(), _table(("option", "value"), rows)) if part)


def _metrics(card: ModelCard) -> str:
    rows = []
    for name, value in card.metrics.items():
        about, share = MEASURED.get(name, (name, False))
        rows.append((about, f"{value:.2%}" if share else _plain(value)))
    return f"## Measured\n\n{_table(('of', 'found'), rows)}"


def _doubt(card: ModelCard) -> str:
    lines = [
        "## When it does not know",
        f"Probabilities are calibrated (temperature {card.temperature:.3g}). A picture whose energy score is below "
        f"{card.energy_threshold:.3g} is told to be no digit.",
    ]
    if card.conformal is None:
        lines.append("It has no calibration for prediction sets.")
    else:
        lines.append(f"Prediction sets are calibrated on {card.conformal.n:,} held-out digits.")
    return "\n\n".join(lines)


def _explanations(tried: Tried, card: ModelCard) -> str:
    title = "## Which explanations are true"
    if card.trial is None or not tried:
        return f"{title}\n\nNobody has put it on trial: `python -m training certify`."
    about = (
        f"How many a method names of {card.trial.pictures} pictures of each of {len(tried[0][1].named)} kinds whose "
        "cause is known. The yardstick says how much better than none the order of its pixels is, over "
        f"{card.trial.digits} digits; that of the ink alone has {card.trial.ink:.3f}."
    )
    rows = []
    for explainer, record in tried:
        found, total = record.named_cause
        doubt = "not to be believed" if record.flagged else ""
        rows.append((f"`{_configuration(explainer)}`", f"{found} of {total}", f"{record.yardstick:.3f}", doubt))
    return f"{title}\n\n{about}\n\n{_table(('method', 'cause named', 'yardstick', ''), rows)}"


def _configuration(explainer: Explainer) -> str:
    """Its name, with the options that are not the defaults."""
    default = type(explainer)()
    names = [field.name for field in fields(cast(Any, explainer))]
    other = [name for name in names if getattr(explainer, name) != getattr(default, name)]
    return "&".join([explainer.name, *(f"{name}={getattr(explainer, name)}" for name in other)])


def _limits(card: ModelCard) -> str:
    limits = [
        f"It knows {len(card.classes)} classes and no other. A letter that looks like a digit is read as one.",
        "It takes one digit at a time, cropped and centred as its training images are.",
        "Nothing was done against pictures that somebody changes on purpose.",
    ]
    return "\n".join(["## Limits", "", *(f"- {one}" for one in limits)])


def _data(card: ModelCard) -> str:
    data = card.training.get("data")
    return str(data.get("name", "unknown")) if isinstance(data, dict) else "unknown"


def _plain(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{value}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in [head, *rows]]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([lines[0], f"|{' --- |' * len(head)}", *lines[1:]]) if rows else ""
