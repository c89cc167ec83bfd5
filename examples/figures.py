"""Draw the picture of the README: the examples explained by the shipped CNN, exactly as the server answers.

Run from the top of the project: make figures
"""

from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from server.config import Settings
from server.inference.explain import ExplainRequest, explain
from server.inference.predict import ModelSelector
from server.models.litert import predictor
from server.models.loading import Loading
from server.models.model_loaders import litert_loader
from server.models.repository.shared_state import SharedState
from server.models.repository.store import Store
from server.render import RENDERERS
from server.types import Picture

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


def main() -> None:
    with TemporaryDirectory() as folder:
        load = litert_loader(None, Settings().interpreter_bytes, partly=False)
        store = Store(Path("model_store"), Loading(predictor, None, load_litert=load), SharedState(Path(folder)))
        store.load("cnn")
        rows = [heatmaps(store, HERE / name) for name in PICTURES]
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
