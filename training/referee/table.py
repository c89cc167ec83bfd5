"""Trials as Markdown tables: which methods name known causes, and which are flagged because they do not."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from server.explainers import EXPLAINERS
from server.inference.trial import Tried
from server.models.trial import parse_trial
from server.types import NAMED, TrackRecord
from training.errors import DataError
from training.store import labels
from training.store.card import checked_card

HEAD = """\
**named**: how many known causes the map's strongest place touches, of {pictures} of a kind, each in another picture,
and in brackets how many a map that knows nothing would name; with Wilson's 95 % interval of all. **AUROC**: the
probability that a pixel of the cause is painted more strongly than another. **yardstick**: how much better than none
the map's order of pixels is on the version itself, over {digits} digits, with a 95 % interval; the ink's own order has
{ink:.3f}, a random one {random:.3f}. **flagged**: fewer than {least} named, or a yardstick that is not above the
ink's."""


def versions_of(family: Path) -> list[Path]:
    """The versions of a model's folder: the one that answers by default, then the newest first."""
    default = labels.default_of(family)
    there = (one for one in family.iterdir() if one.name.isdecimal())
    return sorted(there, key=lambda one: (one != default, -int(one.name)))


def trial_of(version: Path) -> dict[str, Any] | None:
    """The trial that the card of a version lists; None where there is none.

    Raises:
        DataError: the version is damaged, or its trial is none.
    """
    card = checked_card(version)
    if card.get("trial") is None:
        return None
    if card["trial"] not in card["files"]:
        raise DataError(f"{version} names a trial that is none of its files: {card['trial']}")
    content = (version / card["trial"]).read_bytes()
    try:
        parse_trial(content)
        trial: dict[str, Any] = json.loads(content)
        if lacking := [one["method"] for one in trial["methods"] if not {"chance", "auroc"} <= set(one)]:
            raise ValueError(f"has no chance or auroc of {', '.join(lacking)}")
    except ValueError as error:
        raise DataError(f"{version / card['trial']} {error}; certify again") from None
    return trial


def record(method: Mapping[str, Any], trial: Mapping[str, Any]) -> TrackRecord:
    """How a method of the trial did, as the server judges it."""
    return TrackRecord(method["named"], trial["pictures"], method["yardstick"], trial["controls"]["ink"])


def table(title: str, trial: Mapping[str, Any]) -> str:
    """The trial of one net under a heading, those that name the most causes first."""
    kinds = [sibling["kind"] for sibling in trial["siblings"]]
    methods = sorted(trial["methods"], key=lambda one: (-sum(one["named"].values()), -one["yardstick"]))
    columns = ["configuration", *kinds, "named of all", "AUROC", "yardstick", "flagged"]
    head = HEAD.format(pictures=trial["pictures"], digits=trial["digits"], least=_percent(NAMED), **trial["controls"])
    siblings = ", ".join(f"{one['kind']} {_percent(one['accuracy'])}" for one in trial["siblings"])
    without = max(0.0, *(one["without"] - one["chance"] for one in trial["siblings"]))
    return "\n".join([
        f"## {title}\n", f"{head}\n",
        f"Right answers of the siblings: {siblings}; without the cause at most {_percent(without)} above chance.\n",
        _row(columns), _row(["---"] * len(columns)),
        *(_row(_cells(one, kinds, trial)) for one in methods),
    ]) + "\n"  # fmt: skip


HELD_OUT_HEAD = """\
Causes of kinds that no trial has, of {pictures} pictures each: a method that was believed because of its trial is right
if it names them, too. Believed first of all was `{best}`: it names {named} of {total} ({low} to {high})."""


def held_out_table(title: str, believed: Sequence[Tried], found: Mapping[str, Any]) -> str:
    """What methods that were tried name of kinds held out from their trial, under a heading, in the order of belief."""
    kinds = [sibling["kind"] for sibling in found["siblings"]]
    named = {_configuration(one): one["named"] for one in found["methods"]}
    rows = []
    for one in believed:
        name = _configuration({"method": one.result.method, "options": one.result.options})
        if name in named:
            rows.append((name, replace(one.record, named=named[name], pictures=found["pictures"]), one.record.flagged))
    best, judged, _ = rows[0]
    (right, total), (low, high) = judged.named_cause, judged.interval
    head = HELD_OUT_HEAD.format(
        pictures=found["pictures"], best=best, named=right, total=total, low=_percent(low), high=_percent(high)
    )
    columns = ["configuration", *kinds, "named of all", "by the trial"]
    return "\n".join([
        f"## {title}\n", f"{head}\n", _row(columns), _row(["---"] * len(columns)),
        *(_row([f"`{name}`", *(str(of.named[kind]) for kind in kinds), str(of.named_cause[0]), "flagged" * flagged])
          for name, of, flagged in rows),
    ]) + "\n"  # fmt: skip


def _cells(method: Mapping[str, Any], kinds: Sequence[str], trial: Mapping[str, Any]) -> list[str]:
    of, found = trial["pictures"], record(method, trial)
    named, total = found.named_cause
    low, high = found.interval
    worst, best = method["yardstick_interval"]
    flags = {"names too few": found.misses_cause, "no better than ink": found.loses_to_ink}
    return [
        f"`{_configuration(method)}`",
        *(f"{method['named'][kind]} ({of * method['chance'][kind]:.0f})" for kind in kinds),
        f"{named} of {total}, {_percent(low)} to {_percent(high)}",
        f"{sum(method['auroc'].values()) / len(kinds):.3f}",
        f"{method['yardstick']:.3f} ({worst:.3f} to {best:.3f})",
        "; ".join(name for name, true in flags.items() if true),
    ]


def _configuration(method: Mapping[str, Any]) -> str:
    """The method with the options that are not its default."""
    explainer = EXPLAINERS.get(method["method"])
    default = vars(explainer()) if explainer else {}
    other = [f"{name}={value}" for name, value in method["options"].items() if value != default.get(name)]
    return "&".join([method["method"], *other])


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
