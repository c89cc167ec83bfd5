"""Goes from the results of a run to a page that tells what all of them say."""

from pathlib import Path
from typing import TYPE_CHECKING

from server.bulk.durable import write_bytes
from server.bulk.errors import RunError
from server.bulk.report.cases import doubtful, strange
from server.bulk.report.gather import gather, run_in
from server.bulk.report.groups import groups
from server.bulk.report.page import page, paragraph
from server.bulk.report.sections import done, means, moved
from server.bulk.report.shift import shift_of
from server.bulk.report.told import Told
from server.bulk.report.version import known

if TYPE_CHECKING:
    from server.models.trust import Trust


def report(out: Path, store: Path, trust: "Trust | None" = None) -> tuple[str, Told]:
    """The page about the run in the folder `out`, and what it tells; `store` is the folder of models.

    Raises:
        RunError: there is no run, nothing is done of it yet, or a file is damaged.
        ServiceError: its options are not those of an explanation.
    """
    run, manifest = run_in(out)
    version = known(run.order, store, trust)
    image = None if version.card is None else (version.card.image.height, version.card.image.width)
    gathered, files = gather(run, image)
    told = Told(run.order, manifest, gathered, files, version, shift_of(gathered, run.order, version))
    title = f"What {told.gathered.explained} explanations by {told.named} say"
    parts = (done, means, groups, moved, doubtful, strange)
    return page(title, _about(told), [part(told) for part in parts]), told


def _about(told: Told) -> str:
    found, order = told.gathered, told.order
    if told.whole:
        return paragraph(f"The run is whole: all of its {order.rows} pictures are here.", "quiet")
    return paragraph(
        f"The run is not whole: {found.rows} of {order.rows} pictures are here, in {told.files} of {order.shards} "
        "files. All that follows is of these alone.",
        "notice",
    )


def write(page: str, to: Path) -> None:
    """Put a page into a file, whole or not at all. Raises RunError: it cannot be written."""
    try:
        write_bytes(to, page.encode("utf-8", "replace"))  # half of a surrogate pair has no bytes
    except OSError as error:
        raise RunError(f"{to} cannot be written ({error.strerror}); name another file with --to") from error
