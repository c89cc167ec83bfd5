"""The sections of the page that show single pictures."""

from collections.abc import Sequence

import numpy as np

from server.bulk.report.figures import map_url, picture_url
from server.bulk.report.gather import Case
from server.bulk.report.page import Section, image, name, paragraph, text
from server.bulk.report.summary import RunSummary
from server.render.wording import number, percent

ALTERNATIVES = 2  # classes named beside the likeliest one
SCALES = "Each map has its own scale, and the colours of the legends above."


def doubtful(summary: RunSummary) -> Section:
    """Pictures whose two likeliest classes are nearly as likely."""
    cases = summary.gathered.doubtful.ascending()
    about = f"The {len(cases)} pictures whose two likeliest classes are closest, the closest first. {SCALES}"
    return _section("In doubt", about, summary, cases)


def strange(summary: RunSummary) -> Section:
    """Pictures that are least like the training data."""
    cases, (below, above) = summary.gathered.strange.ascending(), summary.gathered.threshold
    unlike, read = int(summary.gathered.counts.unfamiliar[1]), summary.gathered.read
    if summary.version.card is not None:
        limit = f"Below {number(summary.version.card.energy_threshold)}"
    elif np.isfinite([below, above]).all():
        limit = f"Below a threshold between {number(below)} and {number(above)}, which the version says,"
    else:
        limit = "Below the threshold of the version"
    about = (
        f"The {len(cases)} pictures with the lowest energy, which is low where no class fits, the lowest first. "
        f"{limit} a picture is out of distribution: {unlike:,} of {read:,} are, and what is read in them is a guess. "
        f"{SCALES}"
    )
    return _section("Least like the training data", about, summary, cases, energy=True)


def _section(title: str, about: str, summary: RunSummary, cases: Sequence[Case], energy: bool = False) -> Section:
    if not cases:
        return Section(title, paragraph("No picture was read."))
    listed = "".join(_case(summary, one, energy) for one in cases)
    return Section(title, f'{paragraph(about)}<ol class="cases">{listed}</ol>')


def _case(summary: RunSummary, case: Case, energy: bool) -> str:
    order = [int(at) for at in np.argsort(-case.probabilities, kind="stable") if at != case.index]
    others = [f"{summary.label(at)} ({percent(float(case.probabilities[at]))})" for at in order[:ALTERNATIVES]]
    lines = [("", f"or {', '.join(others)}")] if others else []
    if not case.familiar:
        lines.append(("alert", "out of distribution"))
    if energy:
        lines.append(("quiet", f"energy {number(case.energy)}"))
    if case.target not in (None, case.label):
        lines.append(("quiet", f"its map is about {case.target}"))
    told_lines = "".join(f'<div class="{kind}">{text(words)}</div>' for kind, words in lines)
    # what the page says once above is not said again with every picture
    why = (case.alt or "").removesuffix(summary.trial[0]).strip()
    return (
        f'<li class="case">{_drawn(summary, case)}<div class="facts"><span class="answer">{text(case.label)}</span> '
        f"{text(percent(float(case.probabilities[case.index])))}{told_lines}"
        f'<div class="quiet">{name(case.name)}</div></div><p class="why">{text(why)}</p></li>'
    )


def _drawn(summary: RunSummary, case: Case) -> str:
    """The picture, and its map."""
    picture = image(picture_url(case.pixels), "The picture as the net got it", "middle")
    if case.values is None:
        return f'{picture}<div class="none">not explained</div>'
    return picture + image(map_url(case.values, case.pixels, summary.signed, None), "Its map", "middle")
