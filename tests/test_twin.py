"""A twin's interpreters: each serves one thread at a time, and there are no more than they may be."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from server.models.card import TWIN
from server.models.litert import Twin
from tests.nets import STORE, card, digits


class Counting(Twin):
    """Knows how many it has built."""

    built = 0

    def _build(self) -> Any:
        self.built += 1
        return super()._build()


def twin(most: int) -> Counting:
    return Counting(STORE / "mlp" / "1" / TWIN, card("mlp"), most)


def test_one_thread_needs_one() -> None:
    model = twin(4)
    for image in digits()[:5]:
        model.forward(image[None])
    assert model.built == 1


def test_many_threads_get_as_many_as_may_be_and_their_own_answers() -> None:
    images = digits()[:40]
    expected = twin(1).forward(images)
    for most in (1, 3):
        model = twin(most)
        assert model.built == 1
        begin = threading.Barrier(8)

        def ask(number: int, model: Counting = model, begin: threading.Barrier = begin) -> Any:
            begin.wait(10)
            return [model.forward(images[row : row + 1])[0] for row in range(number, 40, 8)]

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(ask, range(8)))
        assert model.built <= most  # and more than one where threads met
        for number, rows in enumerate(found):
            assert np.abs(np.array(rows) - expected[number::8]).max() == 0


def test_it_needs_its_file_no_more_when_it_is_loaded(tmp_path: Path) -> None:
    """Its version may be replaced or removed while it is served, and an interpreter is built for a second thread."""
    path = tmp_path / "model.tflite"
    shutil.copy(STORE / "mlp" / "1" / TWIN, path)
    model, image = Counting(path, card("mlp"), 2), digits()[:1]
    expected = model.forward(image)
    path.unlink()
    busy = model._interpreters.take()
    assert np.array_equal(model.forward(image), expected) and model.built == 2
    assert np.array_equal(busy.answer(image), expected)


def test_no_rows_and_many_rows() -> None:
    model = twin(1)
    assert model.forward(digits()[:0]).shape == (0, 10)
    assert model.forward(digits()[:3]).shape == (3, 10)
    assert model.forward(digits()[:1]).shape == (1, 10)
