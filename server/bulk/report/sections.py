"""The sections of the page that tell of all pictures: what was done, means of classes, and drift."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from server.bulk.report.drift import LITTLE, MUCH
from server.bulk.report.figures import bar_url, mean_map_url, picture_url
from server.bulk.report.page import Section, image, name, paragraph, table, text
from server.bulk.report.summary import RunSummary
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


def done(summary: RunSummary) -> Section:
    """What was ordered, and what came of it."""
    found, spec, seconds = summary.gathered, summary.spec, summary.manifest.get("seconds")
    sums = {
        "pictures": found.rows,
        "explained": found.explained,
        "errors": found.errors,
        "out of distribution": int(found.counts.unfamiliar[1]),
    }
    tiles = "".join(f"<li><b>{count:,}</b> {text(of)}</li>" for of, count in sums.items())
    facts = {
        "Version": text(f"{spec.model}/{spec.version}, {spec.digest[:19]}…"),
        "Pictures from": name(spec.source.rstrip("/").rpartition("/")[2]),
        "Method": text(_method(summary)),
        "Explained": text("all that could be read" if spec.explain_if is None else f"where {spec.explain_if}"),
        "Maps in": "16 bits" if spec.float16 else "32 bits",
        "Took": "not known before its end" if seconds is None else f"{seconds:,.1f} s, since it was last started",
    }
    listed = "".join(f"<dt>{key}</dt><dd>{value}</dd>" for key, value in facts.items())
    trial, flagged = summary.trial
    tried = paragraph(trial, "notice" if flagged else "quiet") if trial else ""
    return Section("What was done", f'<ul class="sums">{tiles}</ul><dl>{listed}</dl>{tried}{_errors(summary)}')


def _method(summary: RunSummary) -> str:
    given = ", ".join(f"{key}={value}" for key, value in summary.spec.options.items() if key != "method")
    wanted, explainer = summary.version.request.method, summary.version.explainer
    chosen = "" if explainer is None or explainer.name == wanted else f", which is {explainer.name}"
    return f"{wanted}{chosen}, with {given or 'its defaults'}"


def _errors(summary: RunSummary) -> str:
    found, odd = summary.gathered, ""
    if found.odd:
        odd = paragraph(f"Left out below, as they hold numbers that are not finite: {found.odd:,} maps.", "notice")
    if not found.failed:
        return odd
    run_spec = sorted(found.failed.items(), key=lambda item: (-item[1].count, item[0]))
    rows = [[text(code), ", ".join(map(name, one.names)), text(one.first), f"{one.count:,}"] for code, one in run_spec]
    heads = ["Code", "Such as", "The first says", "Pictures"]
    return odd + table("Pictures that could not be read or explained", heads, rows, 1)


def means(summary: RunSummary) -> Section:
    """For each class, the mean picture and the mean map."""
    title, classes = "Class means", summary.mapped_classes
    if not classes:
        return Section(title, paragraph(NOTHING))
    maps = np.stack([summary.mean_map(index) for index in classes])
    limit = limit_of(maps, summary.signed)
    figures = "".join(_mean(summary, index, limit) for index in summary.read_classes)
    about = (
        "For each class, the mean of the pictures that were read as it, and below it the mean of their maps. "
        f"{summary.about} A mean shows what most maps share; where they differ, it is pale."
    )
    scale = legend(summary, maps, "one scale for all of these maps")
    return Section(title, f'{paragraph(about)}{scale}<div class="classes">{figures}</div>')


def _mean(summary: RunSummary, index: int, limit: float) -> str:
    count, mapped, label = (
        int(summary.gathered.counts.classes[index]),
        int(summary.gathered.mapped[index]),
        summary.label(index),
    )
    picture = summary.mean_picture(index)
    drawn = image(picture_url(picture), f"Mean picture of {label}", "large")
    words = f"{count:,} picture{'s' * (count != 1)}"
    if mapped:
        painted = mean_map_url(summary.mean_map(index), picture, summary.signed, limit)
        drawn += image(painted, f"Mean map of {label}", "large")
    if mapped != count:
        words += f", {mapped:,} with a map"
    return f"<figure><h3>{text(label)}</h3>{drawn}<figcaption>{text(words)}</figcaption></figure>"


def legend(summary: RunSummary, maps: Array, scale: str) -> str:
    """The colours of maps (n, H, W) on one scale, what their ends say, and the numbers there."""
    (low, high), limit = summary.ends, limit_of(maps, summary.signed)
    largest, most = float(np.abs(maps).max() if summary.signed else maps.max()), number(limit)
    if largest > limit > 0:
        scale += f", clipped at {'±' if summary.signed else ''}{most}, largest {number(largest)}"
    marks = [f"-{most}", "0", f"+{most}"] if summary.signed else ["0", most]
    numbers = "".join(f"<span>{text(one)}</span>" for one in marks)
    return (
        f'<div class="legend"><div><span>{text(low)}</span><span>{text(high)}</span></div>'
        f"{image(bar_url(summary.signed), f'Colours: {low} to {high}', 'bar')}<div>{numbers}</div>"
        f'<div class="quiet">{text(UNITS[summary.unit])}, {text(scale)}</div></div>'
    )


def moved(summary: RunSummary) -> Section:
    """How far the pictures are from what is usual for the version."""
    title, drift = "Drift", summary.drift
    if drift.reference is None or not drift.indices:
        return Section(title, paragraph(f"Nothing to compare with: {drift.missing}."))
    about = (
        f"The population stability index of these pictures against the reference of {summary.named}, which is of "
        f"{drift.reference.images:,} pictures: the sum of (p - q) ln(p / q) over shares p here and q there. Below "
        f"{LITTLE} is as usual, up to {MUCH} has moved somewhat, above that has moved much."
    )
    rows = [[text(OF[of]), f"<b>{text(drift.in_words(of))}</b>", f"{one:.3f}"] for of, one in drift.indices.items()]
    body = paragraph(about)
    if summary.gathered.read < LEAST:
        body += paragraph(f"Of fewer than {LEAST} pictures, an index is mostly chance, and says nothing.", "notice")
    body += table("How far each has moved", ["Of", "In words", "Index"], rows, 1)
    if drift.no_evidence:
        body += paragraph(f"Where evidence lies is not compared: {drift.no_evidence}.", "quiet")
    return Section(title, f'{body}<div class="tables">{_distributions(summary)}</div>')


def _distributions(summary: RunSummary) -> str:
    """Classes, confidence and out of distribution, here and usually."""
    reference, counts = summary.drift.reference, summary.gathered.counts
    assert reference is not None  # asked by `moved`
    labels = [summary.label(index) for index in range(len(counts.classes))]
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
