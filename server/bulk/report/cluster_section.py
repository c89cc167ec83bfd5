"""The section of the page about maps that are alike."""

from collections.abc import Mapping, Sequence

import numpy as np

from server.bulk.report.clusters import LEAST, MOST, Cluster, clusters
from server.bulk.report.figures import map_url, mean_map_url
from server.bulk.report.gather import Case
from server.bulk.report.page import Section, image, name, paragraph, text
from server.bulk.report.sections import NOTHING, legend
from server.bulk.report.summary import RunSummary
from server.render.heatmap import limit_of
from server.render.wording import whole
from server.types import Array


def cluster_section(summary: RunSummary) -> Section:
    """For each class, maps that are alike."""
    found = {index: summary.gathered.samples[index].ascending() for index in summary.mapped_classes}
    if not found:
        return Section("Clusters", paragraph(NOTHING))
    enough = {index: cases for index, cases in found.items() if len(cases) >= LEAST}
    few = [f"{summary.label(index)} ({len(cases)})" for index, cases in found.items() if index not in enough]
    about = (
        "Maps of one class that are alike, as far as the maps themselves tell: at most "
        f"{MOST} clusters of up to {summary.gathered.sample_size} maps of each class (spectral clustering; Lapuschkin "
        "et al. 2019, doi:10.1038/s41467-019-08987-4). A cluster is a number of pictures that the net seems to look at "
        "in the same way. It is no verdict: it may be a way of writing or a shortcut, and only its pictures tell which."
    )
    body = paragraph(about) + (_clusters(summary, enough) if enough else "")
    if few:
        body += paragraph(f"Too few maps, fewer than {LEAST}, to look for clusters: {', '.join(few)}.", "quiet")
    return Section("Clusters", body)


def _clusters(summary: RunSummary, enough: Mapping[int, Sequence[Case]]) -> str:
    """Classes with several clusters, each for itself, then those with a single one together."""
    parts = {index: clusters(np.stack([_values(case) for case in cases])) for index, cases in enough.items()}
    means = [_mean([enough[index][at] for at in one.members])[0] for index, several in parts.items() for one in several]
    limit = limit_of(np.stack(means), summary.signed)
    single = [index for index, several in parts.items() if len(several) == 1]
    body = legend(summary, np.stack(means), "one scale for all means of clusters; single maps have their own")
    for index, several in parts.items():
        if len(several) > 1:
            head = f"{summary.label(index)}: {len(several)} clusters, of {_sample(summary, index, enough[index])}"
            body += _grid(head, [_cluster(summary, enough[index], one, limit) for one in several])
    if single:
        shown = [
            _cluster(summary, enough[at], parts[at][0], limit, summary.label(at), _sample(summary, at, enough[at]))
            for at in single
        ]
        body += _grid("Classes with a single cluster", shown)
    return body


def _grid(head: str, shown: Sequence[str]) -> str:
    return f'<h3>{text(head)}</h3><div class="clusters">{"".join(shown)}</div>'


def _sample(summary: RunSummary, index: int, cases: Sequence[Case]) -> str:
    mapped = int(summary.gathered.mapped[index])
    return f"{mapped:,} maps" if mapped == len(cases) else f"{len(cases)} maps, drawn from {mapped:,}"


def _cluster(
    summary: RunSummary, cases: Sequence[Case], one: Cluster, limit: float, head: str = "", words: str | None = None
) -> str:
    """One cluster of these; `words` are said below it in place of its size."""
    members = [cases[at] for at in one.members]
    values, pixels = _mean(members)
    words = words or f"{len(members)} maps, {whole(len(members) / len(cases))}"
    mean = image(mean_map_url(values, pixels, summary.signed, limit), f"Mean map of {len(members)} maps", "middle")
    nearest = "".join(_near(summary, cases[at]) for at in one.nearest)
    title = f"<h3>{text(head)}</h3>" if head else ""
    return (
        f'<div class="cluster"><figure>{mean}<figcaption>{text(words)}</figcaption></figure>'
        f'<div>{title}<div class="quiet">nearest to its centre</div><div class="nearest">{nearest}</div></div></div>'
    )


def _near(summary: RunSummary, case: Case) -> str:
    painted = map_url(_values(case), case.pixels, summary.signed, None)
    return f"<figure>{image(painted, 'A map', 'small')}<figcaption>{name(case.name)}</figcaption></figure>"


def _mean(cases: Sequence[Case]) -> tuple[Array, Array]:
    """Of maps and of pictures, each (H, W)."""
    return np.mean([_values(case) for case in cases], axis=0), np.mean([case.pixels for case in cases], axis=0)


def _values(case: Case) -> Array:
    assert case.values is not None  # samples are of maps
    return case.values
