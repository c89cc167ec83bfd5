"""Digits and letters from files of handwriting fonts, in other weights, slants and turns than the fonts have.

No font is part of the project. `fetched` gets free ones (Open Font License or Apache License) from the package index
that npm is configured for; any other file that Pillow's FreeType reads does as well.
"""

import hashlib
import math
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.data import INK, SIDE, Array
from training.errors import DataError
from training.synthetic.draws import Draws
from training.synthetic.strokes import centred

VERSION = "5.3.0"  # of all packages, @fontsource/NAME
EM = 60  # pixels, at which letters are drawn before they are made small
LETTERS = "HKMNRVWXehkmnrvwx"  # those that all of these fonts write clearly, and none like a digit

TRAINED_FONTS = {  # name -> SHA-256 of the WOFF file
    "architects-daughter": "0249dd5f81431dbf8a8406996c43f8018bf707221cf261d75145f083bb7091cf",
    "bad-script": "07202e03862cf10af6c0a9f5cfce39ef10e1923b64b965c3185b5ddef61b91f1",
    "caveat": "38b98dbeb922a14a74dfb41f83fc24e0e645e2eed9ce72145fefbdae8828cbfb",
    "caveat-brush": "2c57f92c541e3d7c8050ca99d8ce3f6ee2f64cbdfe72f304f6d7683f0db388ba",
    "cedarville-cursive": "8d8360a98492b42d02c17e94c38bcd2a3cce6db6b9b430f3a110e71f81d7149c",
    "covered-by-your-grace": "876d8371eedf1f9add237910aea034ca42cd5bdc8f7d722c7a04819ab3f711b8",
    "delius": "eabc55870044215231d9f905b1b898926bcf588dc78e53523ea6590281b606f1",
    "gaegu": "6d4c9dac093fce05bcf214b7b1e9d60de7ecae8a22aa940d63e586bcf32cab29",
    "gloria-hallelujah": "31e7def8cf155d4dcc98216517ad509923a8a197bc9c8937668d04767c52040e",
    "homemade-apple": "998f34b48e0bcb8974dc6e8d94961a87689ca40e3258554d2f6fc3778b1968a3",
    "kalam": "70ab8c1d2c10a28f213c6f1c359888624d5e650ffcd64f93a8194c3e14403746",
    "mansalva": "956720ae5632b40a4f79e92b27b936e174a038aa41b8638d30965c61ab465aff",
    "marck-script": "c26db9210c0b2823550e11baaeb2b6d234e5e5a14e8e6497029f29844859610d",
    "patrick-hand": "0f7031f6665437e04d6f354c5f64d6ae6777b498afbe804638c45b957a7ce8aa",
    "permanent-marker": "ab8ac2bb72d48e089e37d8eefbacdfe2d74ccd48ae786d952fce9874837d2b2b",
    "playpen-sans": "25b16389b5a9978b1b9949398c494451d02c738f837e64095601e1c8447341fb",
    "rock-salt": "358d065405a805204d48cc51cc48a8447f8d86369aa05d44c70e0111d7ee7e29",
    "schoolbell": "a448b8f4209a8ca16adc48753170f40a57e17f70675963e092501ed48842e4c8",
    "shadows-into-light": "93cff8110a18bb3e1fb0179c95f706ed1e8037e2e527c4cb425b46deaddbd975",
    "short-stack": "db596e8545afc95f708ad2d5ac878771998f7378da84c56759527fbdb02f5836",
    "the-girl-next-door": "301aabf8a983d1231988eea6e125338a3933bd69de8b14137df80840c8d8c5e8",
}
HELD_OUT_FONTS = {
    "annie-use-your-telescope": "555a3ba045673dfa29aa1b2ed52f17772212380d2da9a79dc813ef51e26b0147",
    "handlee": "9a8af5254df769bbdc196fd998231daec67c81dc3d6fd6f294ed80c2c4343551",
    "indie-flower": "2cf7154e899ad16246196238d6d13f0135c5feba2d8ccde5d97a22664d012660",
    "nanum-pen-script": "08cdd640e142c977071b4c3d5c33fd9ec322990e540f5511ca2fccff4568d0ec",
    "reenie-beanie": "1b86681155e125625f01839b2e6688dde2b2a7766a8eb49645b3a8707c2bee9f",
    "shantell-sans": "8aa8fe63633c806fac26f8ae5c712851eb67d8e1cd34555873d4e60abe685d31",
}


def fetched(folder: Path, fonts: Mapping[str, str]) -> list[Path]:
    """The files of TRAINED_FONTS or HELD_OUT_FONTS in `folder`, which keeps them; those that it lacks are fetched.

    Needs npm, and a package index that it reaches.

    Raises:
        DataError: npm is missing or fails, or a file is not the one that is known here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}.woff" for name in fonts}
    lacking = [name for name, path in paths.items() if not path.is_file()]
    if lacking:
        with tempfile.TemporaryDirectory() as packed:
            _pack([f"@fontsource/{name}@{VERSION}" for name in lacking], Path(packed))
            for name in lacking:
                with tarfile.open(Path(packed) / f"fontsource-{name}-{VERSION}.tgz") as archive:
                    member = archive.extractfile(f"package/files/{name}-latin-400-normal.woff")
                    assert member is not None
                    paths[name].write_bytes(member.read())
    for name, path in paths.items():
        got = hashlib.sha256(path.read_bytes()).hexdigest()
        if got != fonts[name]:
            raise DataError(f"{path}: SHA-256 is {got}; expected {fonts[name]}; remove the file to fetch it again")
    return list(paths.values())


def _pack(packages: Sequence[str], folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("fonts cannot be fetched: npm is not installed; install it, or give font files of your own")
    done = subprocess.run(
        [npm, "pack", "--silent", "--pack-destination", str(folder), *packages], capture_output=True, text=True
    )
    if done.returncode:
        raise DataError(
            f"fonts cannot be fetched: npm pack failed ({(done.stderr or done.stdout).strip()[-300:]}); "
            "check npm's package index, or give font files of your own"
        )


@cache
def _font(path: Path) -> ImageFont.FreeTypeFont:
    try:
        return ImageFont.truetype(str(path), EM)
    except OSError as error:
        raise DataError(f"{path}: cannot be read as a font ({error}); expected TTF, OTF, WOFF or WOFF2") from error


def printed(path: Path, character: str, draws: Draws) -> Array:
    """The character as MNIST has digits, (28, 28) float32 in [0, 1]."""
    slant, turn, weight = draws(-0.15, 0.3), math.radians(draws(-9, 9)), max(0.0, draws(-1.5, 1.8))
    middle = 1.25 * EM
    page = Image.new("L", (2 * round(middle), 2 * round(middle)))
    ImageDraw.Draw(page).text((middle, middle), character, 255, _font(path), "mm", stroke_width=weight)
    cos, sin = math.cos(turn), math.sin(turn)
    (a, b), (c, d) = np.array([[1.0, slant], [0.0, 1.0]]) @ np.array([[cos, sin], [-sin, cos]])
    from_page = (a, b, middle * (1 - a - b), c, d, middle * (1 - c - d))
    page = page.transform(page.size, Image.Transform.AFFINE, from_page, Image.Resampling.BILINEAR)
    box = page.getbbox()
    if box is None:
        raise DataError(f"{path}: has no {character!r}; expected a font with the ten digits and Latin letters")
    width, height = box[2] - box[0], box[3] - box[1]
    shrink = INK / max(width, height)
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    small = np.asarray(page.resize(size, Image.Resampling.BOX, box), np.float32) / 255
    image = np.zeros((SIDE, SIDE), np.float32)
    image[: size[1], : size[0]] = small
    return centred(image / small.max() * (1.0 if draws.chance(0.6) else draws(0.7, 1.0)))
