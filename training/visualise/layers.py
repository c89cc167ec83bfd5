"""What becomes of one digit on its way through the layers."""

from pathlib import Path

import keras
import numpy as np

from training.data import Array
from training.errors import DataError
from training.incremental import named, rebuilt
from training.visualise.figures import Figure, grid

ABOUT = (
    "The same digit as each layer of weights gives it on, each picture to its own scale: of convolutions some filters, "
    "of recurrent layers the states row by row, of dense layers their units line by line."
)
MOST = 20  # maps of a layer
LABEL = 5  # the digit that is shown, where there is one: strokes of every direction


def draw(version: Path, images: Array, labels: Array) -> list[Figure]:
    """Of one of the images (n, H, W) with labels (n,); nothing where the net cannot be built again."""
    try:
        net = rebuilt(version)
    except DataError:
        return []
    chosen = images[int(np.argmax(labels == LABEL))]
    inner = named(net)
    outputs = keras.Model(net.inputs[0], [layer.output for layer in inner.values()])(chosen[None], training=False)
    figures = [grid("digit", "The digit.", [chosen], [""], 10)]
    for name, output in zip(inner, keras.tree.flatten(outputs), strict=True):
        maps = pictures_of(np.asarray(output)[0])
        caption = f"{name}, {' x '.join(map(str, output.shape[1:]))}"
        figures.append(grid(f"layer-{name}", caption, maps[:MOST], [""] * len(maps[:MOST]), 10, signed=True))
    return figures


def pictures_of(output: Array) -> list[Array]:
    """An output without its batch as pictures (h, w): (h, w, c) as c of them, (t, d) as one that is wider than tall,
    (d,) folded so that it is nearly square."""
    if output.ndim == 3:
        return list(np.moveaxis(output, -1, 0))
    if output.ndim == 2:
        return [output if output.shape[1] >= output.shape[0] else output.T]
    wide = int(np.ceil(np.sqrt(len(output))))
    return [np.pad(output, (0, -len(output) % wide)).reshape(-1, wide)]
