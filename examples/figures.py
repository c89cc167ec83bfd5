"""Draw the picture of the README: the examples explained by the shipped CNN, exactly as the server answers.

Run from the top of the project: make figures
"""

import threading
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from server.inference import ExplainRequest, ModelSelector, explain
from server.models.litert import Twin
from server.models.loading import Loading
from server.models.savedmodel import SavedModel
from server.models.state import Shared
from server.models.store import LoadedModel, Store
from server.render import RENDERERS
from server.types import ModelCard, Picture

HERE = Path(__file__).parent
PICTURES = ("7.png", "photo.jpg", "3.png")
METHODS = ("shapley", "lime", "integrated_gradients", "expected_gradients")
WIDTH = 1500  # pixels of the whole sheet


def heatmaps(store: Store, picture: Path) -> list[Image.Image]:
    """The picture's heatmaps by every method, in the model's frame so that all are equally large."""
    body = Picture(picture.read_bytes())
    requests = [ExplainRequest(method, frame="model") for method in METHODS]
    found = [explain(store, body, ModelSelector("cnn"), request).value for request in requests]
    return [Image.open(BytesIO(RENDERERS["image/png"](one))) for one in found]


def load_full(folder: Path, card: ModelCard) -> LoadedModel:
    return LoadedModel(SavedModel(folder, card))


def main() -> None:
    with TemporaryDirectory() as folder:
        store = Store(
            Path("model_store"),
            Loading(Twin, lambda folder, card: LoadedModel(SavedModel(folder, card))),
            Shared(Path(folder)),
        )
        store.load("cnn")
        rows = [heatmaps(store, HERE / name) for name in PICTURES]
        for thread in threading.enumerate():
            if thread.name == "load-models":  # a process that ends inside TensorFlow aborts
                thread.join()
    width = max(map_.width for row in rows for map_ in row)
    height = max(map_.height for row in rows for map_ in row)
    sheet = Image.new("RGB", (width * len(METHODS), height * len(rows)), "white")
    for y, row in enumerate(rows):
        for x, map_ in enumerate(row):
            sheet.paste(map_, (x * width, y * height))
    size = (WIDTH, sheet.height * WIDTH // sheet.width)
    sheet.resize(size, Image.Resampling.LANCZOS).save(HERE / "why.png", optimize=True)


if __name__ == "__main__":
    main()
