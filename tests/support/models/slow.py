"""Fakes that take their time, and note that they were asked: for slow_app.py, which gunicorn serves."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from server.types import Array, ModelCard
from tests.support.models.fakes import Fake, Linear

SECONDS = 0.2  # that one call takes
NOTES = "asked"  # file in the model store, a byte for each call


@dataclass
class Slow(Linear):
    """Sleeps whenever it is asked for more than a few pictures or for slopes."""

    notes: Path = Path()

    def forward(self, images: Array) -> Array:
        if len(images) > 3:
            self._take_time()
        return super().forward(images)

    def gradient(self, images: Array, weights: Array) -> Array:
        self._take_time()
        return super().gradient(images, weights)

    def _take_time(self) -> None:
        descriptor = os.open(self.notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, b".")
        os.close(descriptor)
        time.sleep(SECONDS)


def slow(folder: Path, card: ModelCard) -> Fake:
    """A loader: `Slow` with what the card says."""
    return Slow(card, card.verbs, notes=folder.parent.parent / NOTES)
