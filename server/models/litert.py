"""A version's LiteRT twin -> a Model that only speaks `forward`, in tens of microseconds and without TensorFlow.

The only file that imports ai_edge_litert. The twin was compared with its SavedModel at export; here its hash is enough.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from server.models.pool import Pool
from server.types import Array, Features, ModelCard, Verb


@dataclass
class _Ready:
    """An interpreter with its tensors allocated, and where its input and its logits are."""

    interpreter: Any
    images: int
    logits: int

    def answer(self, image: Array) -> Array:
        """Logits (1, K) of one image (1, H, W)."""
        self.interpreter.set_tensor(self.images, image)
        self.interpreter.invoke()
        logits: Array = self.interpreter.get_tensor(self.logits)
        return logits


class Twin:
    """The twin at `path`, one image at a time: an answer can not depend on what else is in a batch. The file is read
    once: while its version is served, it may be replaced or removed.

    An interpreter serves one thread at a time, and has a copy of its weights: there are at most `most`, more than one
    when several threads ask at once.
    """

    verbs: frozenset[Verb] = frozenset({"forward"})

    def __init__(self, path: Path, card: ModelCard, most: int = 1) -> None:
        self.card = card
        self._content = path.read_bytes()
        self._interpreters = Pool(self._build, most)

    def forward(self, images: Array) -> Array:
        """Logits (n, K) of images (n, H, W)."""
        if len(images) == 1:
            return self._answer(images)
        rows = [self._answer(images[row : row + 1]) for row in range(len(images))]  # others get their turn in between
        return np.array(rows, np.float32).reshape(len(rows), len(self.card.classes))

    def gradient(self, images: Array, weights: Array) -> Array:
        raise NotImplementedError("a LiteRT twin has no gradients")

    def features(self, images: Array, weights: Array) -> Features:
        raise NotImplementedError("a LiteRT twin has no features")

    def _answer(self, image: Array) -> Array:
        ready = self._interpreters.take()
        try:
            return ready.answer(image)
        finally:
            self._interpreters.give_back(ready)

    def _build(self) -> _Ready:
        interpreter = Interpreter(model_content=self._content, num_threads=1)
        interpreter.allocate_tensors()
        runner = interpreter.get_signature_runner()
        return _Ready(
            interpreter,
            runner.get_input_details()["images"]["index"],
            runner.get_output_details()["logits"]["index"],
        )
