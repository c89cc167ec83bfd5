"""Draw the picture of the README: the examples explained by the shipped CNN, exactly as the server answers.

Run from the top of the project: make figures
"""

from io import BytesIO
from pathlib import Path

from PIL import Image

from server.inference import Stages, Which, Why, explain
from server.models.litert import Twin
from server.models.savedmodel import SavedModel
from server.models.store import Store
from server.render import RENDERERS
from server.types import Picture

HERE = Path(__file__).parent
PICTURES = ("7.png", "photo.jpg", "3.png")
METHODS = ("shapley", "lime", "integrated_gradients", "expected_gradients")
WIDTH = 1500  # pixels of the whole sheet


def heatmaps(store: Store, picture: Path) -> list[Image.Image]:
    """The picture's heatmaps by every method, in the model's frame so that all are equally large."""
    body = Picture(picture.read_bytes())
    whys = [Why(method, frame="model") for method in METHODS]
    return [
        Image.open(BytesIO(RENDERERS["image/png"](explain(store, body, Which("cnn"), why, Stages())))) for why in whys
    ]


def main() -> None:
    store = Store(Path("model_store"), Twin)
    store.load_full(SavedModel)
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
