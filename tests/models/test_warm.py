"""A version that takes over answers its first questions as it answers later ones: nothing is left to be made ready."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask
from tensorflow.python.eager import context

from server.models.checks import check_answers
from server.models.litert import predictor
from server.models.savedmodel import SavedModel
from server.routes.service import EXTENSION
from server.types import ModelCard
from tests.conftest import MakeApp
from tests.support.models.nets import folder, net
from tests.support.models.stores import SEVEN, copy_version, poll_all

QUESTIONS = (
    "method=saliency",  # slopes of a few rows
    "method=smooth_grad&n_samples=200",  # of many
    "method=shapley",  # logits of many
    "method=grad_cam",  # inner views
    "method=expected_gradients&output=probability&versus=3",
    "method=integrated_gradients&quality=true",
)


class Readied:
    """The graphs that TensorFlow has made ready to run: it does that when one is called for the first time, whether it
    was traced before or not, and takes up to a hundred times as long for it as for a call."""

    def __init__(self) -> None:
        self._context = context.context()
        self.count()

    def count(self) -> int:
        """Since the last time."""
        found = self._context.export_run_metadata()
        return 0 if found is None else len(found.function_graphs)


@contextmanager
def readied() -> Iterator[Readied]:
    context.context().enable_graph_collection()
    try:
        yield Readied()
    finally:
        context.context().disable_graph_collection()


def test_the_first_explanations_of_a_new_version_make_nothing_ready(make_app: MakeApp, tmp_path: Path) -> None:
    name = "cnn"  # has inner views too
    net(name)  # TensorFlow's threads are made now; those that the loader makes inherit its low priority
    traced = list[None]()

    def load(path: Path, card: ModelCard) -> SavedModel:
        return SavedModel(path, card, on_retrace=lambda: traced.append(None))

    copy_version(tmp_path, 1, name, folder(name))
    app: Flask = make_app(load, predictor, check=check_answers, model_store=tmp_path, model=name)
    client, store = app.test_client(), app.extensions[EXTENSION].store
    with readied() as graphs:
        for query in QUESTIONS:
            assert client.post(f"/v1/explain?{query}", data=SEVEN).status_code == 200
        copy_version(tmp_path, 2, name, folder(name))
        graphs.count()
        poll_all(store)
        assert store.served_models[name].default_number == "2" and graphs.count() > 0
        for query in QUESTIONS:
            response = client.post(f"/v1/explain?{query}", data=SEVEN)
            assert response.status_code == 200, response.data
            assert response.get_json()["model"]["version"] == "2"
            assert (query, graphs.count(), len(traced)) == (query, 0, 0)
