"""The sections of the page that tell of all pictures: what was done, means of classes, and drift."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from server.bulk.report.figures import bar_url, mean_map_url, picture_url
from server.bulk.report.page import Section, image, name, paragraph, table, text
from server.bulk.report.shift import LITTLE, MUCH
from server.bulk.report.told import Told
from server.render.heatmap import limit_of
from server.render.wording import UNITS, number, percent
from server.rollout.drift import LEAST
from server.types import REFERENCE_BOUNDS, Array

NOTHING = "No picture is explained."
OF = {
    "classes": "classes",
    "confidence": "confidence",
    "out_of_distribution": "out of distribution",
    "evidence": "where evidence lies",
}


def done(told: Told) -> Section:
    """What was ordered, and what came of it."""
    found, order, seconds = told.gathered, told.order, told.manifest.get("seconds")
    sums = {
        "pictures": found.rows,
        "explained": found.explained,
        "errors": found.errors,
        "out of distribution": int(found.counts.unfamiliar[1]),
    }
    tiles = "".join(f"<li><b>{count:,}</b> {text(of)}</li>" for of, count in sums.items())
    facts = {
        "Version": text(f"{order.model}/{order.version}, {order.digest[:19]}…"),
        "Pictures from": name(order.source.rstrip("/").rpartition("/")[2]),
        "Method": text(_method(told)),
        "Explained": text("all that could be read" if order.explain_if is None else f"where {order.explain_if}"),
        "Maps in": "16 bits" if order.half else "32 bits",
        "Took": "not known before its end" if seconds is None else f"{seconds:,.1f} s, since it was last started",
    }
    listed = "".join(f"<dt>{key}</dt><dd>{value}</dd>" for key, value in facts.items())
    trial, flagged = told.trial
    tried = paragraph(trial, "notice" if flagged else "quiet") if trial else ""
    return Section("What was done", f'<ul class="sums">{tiles}</ul><dl>{listed}</dl>{tried}{_errors(told)}')


def _method(told: Told) -> str:
    given = ", ".join(f"{key}={value}" for key, value in told.order.options.items() if key != "method")
    wanted, explainer = told.version.request.method, told.version.explainer
    chosen = "" if explainer is None or explainer.name == wanted else f", which is {explainer.name}"
    return f"{wanted}{chosen}, with {given or 'its defaults'}"


def _errors(told: Told) -> str:
    found, odd = told.gathered, ""
    if found.odd:
        odd = paragraph(f"Left out below, as they hold numbers that are not finite: {found.odd:,} maps.", "notice")
    if not found.failed:
        return odd
    ordered = sorted(found.failed.items(), key=lambda item: (-item[1].count, item[0]))
    rows = [[text(code), ", ".join(map(name, one.names)), text(one.first), f"{one.count:,}"] for code, one in ordered]
    heads = ["Code", "Such as", "The first says", "Pictures"]
    return odd + table("Pictures that could not be read or explained", heads, rows, 1)


def means(told: Told) -> Section:
    """For each class, the mean picture and the mean map."""
    title, classes = "Class means", told.mapped_classes
    if not classes:
        return Section(title, paragraph(NOTHING))
    maps = np.stack([told.mean_map(index) for index in classes])
    limit = limit_of(maps, told.signed)
    figures = "".join(_mean(told, index, limit) for index in told.read_classes)
    about = (
        "For each class, the mean of the pictures that were read as it, and below it the mean of their maps. "
        f"{told.about} A mean shows what most maps share; where they differ, it is pale."
    )
    scale = legend(told, maps, "one scale for all of these maps")
    return Section(title, f'{paragraph(about)}{scale}<div class="classes">{figures}</div>')


def _mean(told: Told, index: int, limit: float) -> str:
    count, mapped, label = int(told.gathered.counts.classes[index]), int(told.gathered.mapped[index]), told.label(index)
    picture = told.mean_picture(index)
    drawn = image(picture_url(picture), f"Mean picture of {label}", "large")
    words = f"{count:,} picture{'s' * (count != 1)}"
    if mapped:
        painted = mean_map_url(told.mean_map(index), picture, told.signed, limit)
        drawn += image(painted, f"Mean map of {label}", "large")
    if mapped != count:
        words += f", {mapped:,} with a map"
    return f"<figure><h3>{text(label)}</h3>{drawn}<figcaption>{text(words)}</figcaption></figure>"


def legend(told: Told, maps: Array, scale: str) -> str:
    """The colours of maps (n, H, W) on one scale, what their ends say, and the numbers there."""
    (low, high), limit = told.ends, limit_of(maps, told.signed)
    largest, most = float(np.abs(maps).max() if told.signed else maps.max()), number(limit)
    if largest > limit > 0:
        scale += f", clipped at {'±' if told.signed else ''}{most}, largest {number(largest)}"
    marks = [f"-{most}", "0", f"+{most}"] if told.signed else ["0", most]
    numbers = "".join(f"<span>{text(one)}</span>" for one in marks)
    return (
        f'<div class="legend"><div><span>{text(low)}</span><span>{text(high)}</span></div>'
        f"{image(bar_url(told.signed), f'Colours: {low} to {high}', 'bar')}<div>{numbers}</div>"
        f'<div class="quiet">{text(UNITS[told.unit])}, {text(scale)}</div></div>'
    )


def moved(told: Told) -> Section:
    """How far the pictures are from what is usual for the version."""
    title, shift = "Drift", told.shift
    if shift.reference is None or not shift.indices:
        return Section(title, paragraph(f"Nothing to compare with: {shift.missing}."))
    about = (
        f"The population stability index of these pictures against the reference of {told.named}, which is of "
        f"{shift.reference.images:,} pictures: the sum of (p - q) ln(p / q) over shares p here and q there. Below "
        f"{LITTLE} is as usual, up to {MUCH} has moved somewhat, above that has moved much."
    )
    rows = [[text(OF[of]), f"<b>{text(shift.in_words(of))}</b>", f"{one:.3f}"] for of, one in shift.indices.items()]
    body = paragraph(about)
    if told.gathered.read < LEAST:
        body += paragraph(f"Of fewer than {LEAST} pictures, an index is mostly chance, and says nothing.", "notice")
    body += table("How far each has moved", ["Of", "In words", "Index"], rows, 1)
    if shift.no_evidence:
        body += paragraph(f"Where evidence lies is not compared: {shift.no_evidence}.", "quiet")
    return Section(title, f'{body}<div class="tables">{_distributions(told)}</div>')


def _distributions(told: Told) -> str:
    """Classes, confidence and out of distribution, here and usually."""
    reference, counts = told.shift.reference, told.gathered.counts
    assert reference is not None  # asked by `moved`
    labels = [told.label(index) for index in range(len(counts.classes))]
    bins = [f"{low} to {high}" for low, high in pairwise(["0", *map(str, REFERENCE_BOUNDS), "1"])]
    unlike = np.array([1 - reference.out_of_distribution, reference.out_of_distribution])
    return (
        _beside("Class", labels, counts.classes, reference.classes)
        + _beside("Confidence", bins, counts.confidence, reference.confidence)
        + _beside("Out of distribution", ["no", "yes"], counts.unfamiliar, unlike)
    )


def _beside(what: str, of: Sequence[str], counts: Array, usual: Array) -> str:
    total = counts.sum()
    rows = [
        [text(one), f"{count:,}", percent(count / total), percent(float(share))]
        for one, count, share in zip(of, counts.tolist(), usual, strict=True)
    ]
    return table("Here and usually", [what, "Pictures", "Here", "Usually"], rows, 3)
