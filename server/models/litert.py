"""A version's LiteRT twin -> a Model that only speaks `forward`, in tens of microseconds and without TensorFlow.

The only file that imports ai_edge_litert. The twin was compared with its SavedModel at export; here its hash is enough.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from server.types import Array, Features, ModelCard, Verb


@dataclass
class _Ready:
    """An interpreter with its tensors allocated, and where its input and its logits are."""

    interpreter: Any
    images: int
    logits: int


class Twin:
    """The twin at `path`, one image at a time: an answer can not depend on what else is in a batch."""

    verbs: frozenset[Verb] = frozenset({"forward"})

    def __init__(self, path: Path, card: ModelCard) -> None:
        self.card = card
        self._path = path
        self._idle: list[_Ready] = [self._build()]  # an interpreter serves one thread at a time; list.pop is atomic

    def forward(self, images: Array) -> Array:
        """Logits (n, K) of images (n, H, W)."""
        logits = np.empty((len(images), len(self.card.classes)), np.float32)
        with self._borrowed() as ready:
            for row, image in enumerate(images):
                ready.interpreter.set_tensor(ready.images, image[None])
                ready.interpreter.invoke()
                logits[row] = ready.interpreter.get_tensor(ready.logits)[0]
        return logits

    def gradient(self, images: Array, weights: Array) -> Array:
        raise NotImplementedError("a LiteRT twin has no gradients")

    def features(self, images: Array, weights: Array) -> Features:
        raise NotImplementedError("a LiteRT twin has no features")

    def _build(self) -> _Ready:
        interpreter = Interpreter(model_path=str(self._path), num_threads=1)
        interpreter.allocate_tensors()
        runner = interpreter.get_signature_runner()
        return _Ready(
            interpreter,
            runner.get_input_details()["images"]["index"],
            runner.get_output_details()["logits"]["index"],
        )

    @contextmanager
    def _borrowed(self) -> Iterator[_Ready]:
        try:
            ready = self._idle.pop()
        except IndexError:
            ready = self._build()
        try:
            yield ready
        finally:
            self._idle.append(ready)
