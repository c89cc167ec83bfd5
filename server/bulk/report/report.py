"""Goes from the results of a run to a page that tells what all of them say."""

from pathlib import Path
from typing import TYPE_CHECKING

from server.bulk.durable import write_bytes
from server.bulk.errors import RunError
from server.bulk.report.cluster_section import cluster_section
from server.bulk.report.drift import compare_with_reference
from server.bulk.report.gather import gather, run_in
from server.bulk.report.page import page, paragraph
from server.bulk.report.picture_sections import doubtful, strange
from server.bulk.report.sections import done, means, moved
from server.bulk.report.summary import RunSummary
from server.bulk.report.version import version_facts

if TYPE_CHECKING:
    from server.models.trust import Trust


def report(out: Path, store: Path, trust: "Trust | None" = None) -> tuple[str, RunSummary]:
    """The page about the run in the folder `out`, and what it tells; `store` is the folder of models.

    Raises:
        RunError: there is no run, nothing is done of it yet, or a file is damaged.
        ServiceError: its options are not those of an explanation.
    """
    run, manifest = run_in(out)
    version = version_facts(run.spec, store, trust)
    image = None if version.card is None else (version.card.image.height, version.card.image.width)
    gathered, files = gather(run, image)
    summary = RunSummary(
        run.spec, manifest, gathered, files, version, compare_with_reference(gathered, run.spec, version)
    )
    title = f"What {summary.gathered.explained} explanations by {summary.named} say"
    parts = (done, means, cluster_section, moved, doubtful, strange)
    return page(title, _about(summary), [part(summary) for part in parts]), summary


def _about(summary: RunSummary) -> str:
    found, spec = summary.gathered, summary.spec
    if summary.whole:
        return paragraph(f"The run is whole: all of its {spec.rows} pictures are here.", "quiet")
    return paragraph(
        f"The run is not whole: {found.rows} of {spec.rows} pictures are here, in {summary.files} of {spec.shards} "
        "files. All that follows is of these alone.",
        "notice",
    )


def write(page: str, to: Path) -> None:
    """Put a page into a file, whole or not at all. Raises RunError: it cannot be written."""
    try:
        write_bytes(to, page.encode("utf-8", "replace"))  # half of a surrogate pair has no bytes
    except OSError as error:
        raise RunError(f"{to} cannot be written ({error.strerror}); name another file with --to") from error
