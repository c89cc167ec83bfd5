"""A twin's interpreters: each serves one thread at a time, and there are no more than they may be."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from server.models.card import TWIN
from server.models.litert import PROMPT, Twin
from server.types import Array
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


def practised(model: Twin, image: Array) -> Array:
    """What it answers, often enough that one answer did not have to wait for the processor."""
    for _ in range(50):
        answer = model.forward(image)
    return answer


def test_it_does_not_wait_for_an_interpreter_where_others_wait_for_the_answer() -> None:
    model, image = twin(1), digits()[:1]
    expected = practised(model, image)
    found = model.at_once(image)
    assert found is not None and np.array_equal(found, expected)
    busy = model._interpreters.take()  # as while another thread asks for many rows
    assert model.at_once(image) is None
    model._interpreters.give_back(busy)
    assert model.at_once(image) is not None


def test_a_net_that_takes_its_time_does_not_answer_at_once() -> None:
    model, image = twin(1), digits()[:1]
    assert model.at_once(image) is None  # it is not known yet
    practised(model, image)
    assert model.at_once(image) is not None
    model._fastest = 2 * PROMPT
    assert model.at_once(image) is None


def test_no_rows_and_many_rows() -> None:
    model = twin(1)
    assert model.forward(digits()[:0]).shape == (0, 10)
    assert model.forward(digits()[:3]).shape == (3, 10)
    assert model.forward(digits()[:1]).shape == (1, 10)
