"""All that the page tells of one run, for its sections."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from server.bulk.report.drift import DriftSummary
from server.bulk.report.gather import Gathered
from server.bulk.report.version import VersionFacts
from server.bulk.worker import RunSpec
from server.inference.trial import track_record
from server.render.language import ENGLISH
from server.render.legend import meanings
from server.types import Array, Unit


@dataclass(frozen=True)
class RunSummary:
    """A run, what its rows say, and what is known beside them."""

    spec: RunSpec
    manifest: Mapping[str, Any]
    gathered: Gathered
    files: int  # that are there
    version: VersionFacts
    drift: DriftSummary

    @property
    def named(self) -> str:
        """The version."""
        return f"{self.spec.model} {self.spec.version}"

    @property
    def whole(self) -> bool:
        return self.gathered.rows == self.spec.rows

    @property
    def signed(self) -> bool:
        """Whether values below 0 speak against the target; told by the values where the method is not known."""
        explainer = self.version.explainer
        return self.gathered.least < 0 if explainer is None else explainer.signed

    @property
    def unit(self) -> Unit:
        return self.gathered.unit or "logit"

    @property
    def read_classes(self) -> list[int]:
        """The classes that pictures were read as."""
        return [index for index, count in enumerate(self.gathered.counts.classes) if count]

    @property
    def mapped_classes(self) -> list[int]:
        """Those of them that have maps."""
        return [index for index in self.read_classes if self.gathered.mapped[index]]

    def label(self, index: int) -> str:
        """The class's name; its number where neither the rows nor the version say it."""
        if self.version.card is not None:
            return self.version.card.classes[index]
        return self.gathered.labels.get(index, f"class {index}")

    def mean_picture(self, index: int) -> Array:
        """Of the pictures read as this class, (H, W)."""
        return np.asarray(self.gathered.pixels[index] / self.gathered.counts.classes[index])

    def mean_map(self, index: int) -> Array:
        """Of their maps, (H, W)."""
        return np.asarray(self.gathered.maps[index] / self.gathered.mapped[index])

    @property
    def trial(self) -> tuple[str, bool]:
        """How the method did where the cause is known, in a sentence, "" where that was not tried; and whether it is
        not to be believed."""
        card, explainer, request = self.version.card, self.version.explainer, self.version.request
        if card is None or explainer is None or request.engine != "inkling":
            return "", False
        record = track_record(card, explainer, request.output)
        return ("", False) if record is None else (ENGLISH.trial(explainer.name, record), record.flagged)

    @property
    def ends(self) -> tuple[str, str]:
        """What the lowest and the highest value of a map say."""
        request = self.version.request
        return meanings(self.unit, self.signed, request.target or "the class", request.versus)

    @property
    def about(self) -> str:
        """What every map is about."""
        request = self.version.request
        target = "the class that its picture was read as" if request.target is None else f"the class {request.target}"
        return f"Every map is about {target}" + ("." if request.versus is None else f", and not {request.versus}.")
