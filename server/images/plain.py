"""Bytes of a picture -> its grey pixels at the model's size and nothing more: what the signature `serving_bytes` of a
SavedModel makes of it (training/store/signatures.py), without TensorFlow.
"""

import numpy as np
from PIL import Image, ImageChops
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile

from server.images.decoding import in_turn, opened
from server.types import Array, ImageSpec

PIXEL_BYTES = 20  # of a picture's largest kind while it is decoded and converted


def plain_pixels(body: bytes, spec: ImageSpec) -> Array:
    """The whole picture (H, W) float32, 0 = black and 1 = white: 0.299 R + 0.587 G + 0.114 B of 8 bits each, resized
    bilinearly with antialiasing. Alpha and EXIF's orientation are ignored; of several frames the first one counts.

    Pixels are TensorFlow's to 1e-5, which is its rounding. A JPEG goes through the accurate DCT, as in graphs exported
    now; those exported earlier take the fast one, and differ by up to 0.05 where the JPEG's quality is at most 90, 0.1
    at 95, and 0.3 at 100.

    Raises:
        EmptyBody, UnsupportedImage, DamagedImage, ImageTooLarge: as `opened` does.
    """
    with opened(body) as (image, _), in_turn(image, PIXEL_BYTES * image.width * image.height):
        sized = _eight_bit(image).convert("F").resize((spec.width, spec.height), Image.Resampling.BILINEAR)
        image.close()
    return np.asarray(sized) / np.float32(255)


def _eight_bit(image: ImageFile) -> Image.Image:
    """The picture as L or RGB, with the levels that TensorFlow gives it."""
    if isinstance(image, GifImageFile):
        return _first_frame(image)
    numbered = isinstance(image, BmpImageFile) and "P" in (image.tile[0].args or ())  # 8 bits with a palette
    image.load()
    if numbered:  # TensorFlow takes the numbers of the colours for levels
        return Image.fromarray(np.asarray(image))
    if image.mode.startswith("I"):  # 16 bits, of which the upper half counts
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "CMYK":
        return _of_inks(image)
    image.info.pop("transparency", None)  # of a palette, which Pillow would warn of
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _first_frame(image: GifImageFile) -> Image.Image:
    """As TensorFlow places it: at its offset on black that has the frame's size, not the screen's; what is transparent
    stays black."""
    left, top, right, bottom = image.dispose_extent or (0, 0, *image.size)
    frame = image.crop((left, top, right, bottom)).convert("RGBA")
    canvas = Image.new("RGB", frame.size)
    canvas.paste(frame, (left, top), frame)
    return canvas


def _of_inks(image: ImageFile) -> Image.Image:
    """CMYK as RGB, rounded down. Pillow takes all inks for inverted, but only Adobe's programs write them so."""
    light = ImageChops.invert(image) if "adobe" in image.info else image
    black = np.asarray(light.getchannel("K"), np.uint16)
    levels = [(np.asarray(light.getchannel(ink)) * black // 255).astype(np.uint8) for ink in "CMY"]
    return Image.merge("RGB", [Image.fromarray(one) for one in levels])
