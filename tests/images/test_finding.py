"""A drawn digit on all that digits lie on: it must become the digit that it is on plain paper."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from server.errors import BlankImage
from server.types import Array, Digit
from tests.images.test_images import FIVE, REFERENCE, SEVEN, SPEC, alike, draw, read

LARGE = (800, 600)


def on(ground: Image.Image, digit: Image.Image, at: tuple[int, int]) -> Image.Image:
    """The darker of both where the digit's paper lies."""
    there = ground.copy()
    under = np.asarray(ground.crop((*at, at[0] + digit.width, at[1] + digit.height)))
    there.paste(Image.fromarray(np.minimum(under, np.asarray(digit))), at)
    return there


def noisy(image: Image.Image, sigma: float = 3) -> Image.Image:
    levels = np.asarray(image, float) + np.random.default_rng(1).normal(0, sigma, (image.height, image.width))
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def sheet(table: Image.Image, corners: list[tuple[int, int]], at: tuple[int, int], size: int = 200) -> Image.Image:
    """A white sheet with these corners on a table, and the digit on it."""
    seen = table.copy()
    ImageDraw.Draw(seen).polygon(corners, fill=235)
    return noisy(on(seen, draw(size=size, pen=size // 12), at))


def plain(level: int) -> Image.Image:
    return Image.new("L", LARGE, level)


def stripes() -> Image.Image:
    """Cloth as light as the sheet in half of its stripes."""
    y = np.arange(LARGE[1])[:, None] + np.arange(LARGE[0])[None] // 3
    return Image.fromarray(np.where(y // 30 % 2, 225, 120).astype(np.uint8))


def grain() -> Image.Image:
    levels = np.cumsum(np.random.default_rng(3).normal(0, 4, LARGE[1]))
    return Image.fromarray(np.clip(90 + levels[:, None] + np.zeros(LARGE[0]), 40, 140).astype(np.uint8))


WHOLE = [(180, 90), (640, 60), (660, 520), (150, 540)]
SMALL = [(500, 60), (730, 80), (715, 320), (490, 300)]
CUT = [(300, -20), (820, -20), (820, 380), (280, 400)]
FILLING = [(20, 15), (780, 30), (790, 585), (10, 570)]


@pytest.mark.parametrize("table", [plain(40), plain(130), stripes(), grain()], ids=["dark", "grey", "stripes", "grain"])
@pytest.mark.parametrize(
    ("corners", "at"),
    [(WHOLE, (300, 200)), (SMALL, (510, 90)), (CUT, (450, 100)), (FILLING, (150, 300))],
    ids=["whole", "small", "cut", "filling"],
)
def test_a_sheet_on_a_table(table: Image.Image, corners: list[tuple[int, int]], at: tuple[int, int]) -> None:
    digit = read(sheet(table, corners, at), "JPEG", quality=85)
    assert alike(digit.pixels, REFERENCE.pixels) > 0.93
    x, y = at
    assert corner_near(digit, x, y, 200)


def corner_near(digit: Digit, x: int, y: int, size: int) -> bool:
    """Whether the model's image lies around the square at (x, y) of the picture."""
    a, _, c, _, e, f = digit.placement.transform
    middle = (c + 14 * a, f + 14 * e)
    return abs(middle[0] - x - size / 2) < 0.25 * size and abs(middle[1] - y - size / 2) < 0.25 * size


def test_the_steps_say_that_a_sheet_was_found() -> None:
    """On a table as even as a dark canvas, of which the sheet would be the ink."""
    assert "sheet found" in read(sheet(plain(40), WHOLE, (300, 200))).placement.steps
    assert "sheet found" not in REFERENCE.placement.steps


def boxed(width: int, level: int, digit: Image.Image, at: tuple[int, int]) -> Image.Image:
    paper = plain(245)
    ImageDraw.Draw(paper).rectangle((250, 150, 549, 449), outline=level, width=width)
    return on(paper, digit, at)


@pytest.mark.parametrize(("width", "level"), [(4, 0), (14, 60), (10, 140)], ids=["thin", "thick", "pale"])
@pytest.mark.parametrize("at", [(320, 200), (262, 215)], ids=["inside", "near the box"])
def test_a_box_around_the_digit_is_taken_away(width: int, level: int, at: tuple[int, int]) -> None:
    digit = read(noisy(boxed(width, level, draw(size=200, pen=17), at)))
    assert alike(digit.pixels, REFERENCE.pixels) > 0.9
    assert corner_near(digit, *at, 200)


def test_a_circle_around_the_digit_is_taken_away() -> None:
    paper = plain(245)
    ImageDraw.Draw(paper).ellipse((200, 100, 600, 500), outline=40, width=7)
    digit = read(noisy(on(paper, draw(size=200, pen=17), (300, 200))))
    assert "box removed" in digit.placement.steps
    assert alike(digit.pixels, REFERENCE.pixels) > 0.9


DOT, SLASH, BAR = [(0.5, 0.49), (0.5, 0.51)], [(0.36, 0.8), (0.64, 0.2)], [(0.5, 0.17), (0.5, 0.83)]


@pytest.mark.parametrize("inside", [[], [DOT], [SLASH], [BAR]], ids=["empty", "dot", "slash", "bar"])
def test_a_zero_is_no_circle_around_something(inside: list[list[tuple[float, float]]]) -> None:
    turn = np.linspace(0, 2 * np.pi, 40)
    zero = [(0.5 + 0.3 * float(np.sin(a)), 0.5 + 0.42 * float(np.cos(a))) for a in turn]
    digit = read(draw(strokes=[zero, *inside], pen=14))
    assert digit.placement.transform[0] == pytest.approx((0.84 * 280 + 14) / 20, rel=0.06)


def test_an_empty_box_is_what_it_is() -> None:
    """A rectangle alone is the largest stroke of its picture; its inside is no digit."""
    paper = plain(245)
    ImageDraw.Draw(paper).rectangle((250, 150, 549, 449), outline=0, width=10)
    assert "box removed" not in read(paper).placement.steps


def squared(level: int, slope: float = 0.03) -> Image.Image:
    paper = plain(240)
    pencil = ImageDraw.Draw(paper)
    for at in range(-100, 900, 40):
        pencil.line([(0, at), (800, at + 800 * slope)], fill=level, width=3)
        pencil.line([(at, 0), (at - 600 * slope, 600)], fill=level, width=3)
    return paper


@pytest.mark.parametrize("level", [205, 150], ids=["pale", "strong"])
@pytest.mark.parametrize("slope", [0, 0.03], ids=["straight", "tilted"])
def test_squared_paper(level: int, slope: float) -> None:
    digit = read(noisy(on(squared(level, slope), draw(size=220, pen=16), (300, 150))))
    assert alike(digit.pixels, REFERENCE.pixels) > 0.88


def shaded(image: Image.Image, shade: float, blur: float) -> Image.Image:
    """A shadow with a straight edge from the upper right to the lower left."""
    edge = Image.new("L", image.size, 255)
    ImageDraw.Draw(edge).polygon([(0, 0), (500, 0), (330, 600), (0, 600)], fill=round(255 * shade))
    light = np.asarray(edge.filter(ImageFilter.GaussianBlur(blur)), float) / 255
    return Image.fromarray((np.asarray(image, float) * light).astype(np.uint8))


@pytest.mark.parametrize("blur", [0, 6], ids=["sharp", "soft"])
@pytest.mark.parametrize("shade", [0.5, 0.75])
def test_a_shadows_edge_across_the_digit(shade: float, blur: float) -> None:
    digit = read(noisy(shaded(draw(size=300, pen=24, canvas=LARGE, at=(270, 150)), shade, blur)))
    assert alike(digit.pixels, REFERENCE.pixels) > 0.9


def negative(image: Image.Image) -> Image.Image:
    return Image.eval(image, lambda value: 255 - value)


def bounds(image: Image.Image) -> Image.Image:
    """Cut to the ink, to the pixel."""
    return image.crop(negative(image).getbbox())


@pytest.mark.parametrize("pen", [12, 30, 38])
@pytest.mark.parametrize("size", [60, 200])
@pytest.mark.parametrize("turn", [lambda image: image, negative], ids=["dark", "light"])
def test_a_digit_cut_out_tightly(pen: int, size: int, turn: Callable[[Image.Image], Image.Image]) -> None:
    whole = draw(pen=pen)
    cut = turn(bounds(whole).resize((round(size * 0.7), size), Image.Resampling.LANCZOS))
    wide = Image.new("L", (2 * size, 2 * size), 255)
    wide.paste(turn(cut), (size // 2, size // 2))
    assert alike(read(cut).pixels, read(wide).pixels) > 0.95


def test_a_finger_at_the_edge_is_no_digit() -> None:
    photo = draw(size=200, pen=10, canvas=LARGE, at=(420, 80))
    ImageDraw.Draw(photo).ellipse((-60, 430, 160, 720), fill=90)
    digit = read(noisy(photo))
    assert alike(digit.pixels, read(draw(size=200, pen=10)).pixels) > 0.93


def test_glare_on_a_board_is_no_ink() -> None:
    y, x = np.mgrid[0:600, 0:800]
    glare = sum(60 * np.exp(-(((x - a) / w) ** 2) - ((y - b) / w) ** 2) for a, b, w in ((200, 150, 90), (560, 420, 60)))
    board = Image.fromarray(np.clip(185 + glare, 0, 255).astype(np.uint8))
    digit = read(noisy(on(board, draw(size=260, pen=16), (330, 120))))
    assert alike(digit.pixels, read(draw(size=260, pen=16)).pixels) > 0.93


@pytest.mark.parametrize("contrast", [20, 35])
def test_a_faint_pencil(contrast: int) -> None:
    faint = Image.eval(
        draw(size=300, pen=12, canvas=LARGE, at=(250, 150)), lambda value: 225 - contrast * (value < 128)
    )
    digit = read(noisy(faint, 4))
    assert alike(digit.pixels, read(draw(size=300, pen=12)).pixels) > 0.85


@pytest.mark.parametrize("light", [False, True], ids=["dark", "light"])
def test_specks_of_a_binarised_picture_are_dropped(light: bool) -> None:
    binary = np.where(np.asarray(draw(size=120, pen=10)) < 128, 0, 255).astype(np.uint8)
    for x, y in np.random.default_rng(4).integers(0, 118, (12, 2)).tolist():
        binary[y : y + 2, x : x + 2] ^= 255
    image = Image.fromarray(binary)
    assert alike(read(negative(image) if light else image).pixels, REFERENCE.pixels) > 0.88


@pytest.mark.parametrize("count", [2, 3])
def test_other_digits_are_counted(count: int) -> None:
    paper = Image.new("L", (320 * count, 300), 255)
    for number in range(count):
        paper.paste(draw(strokes=FIVE if number == 0 else SEVEN), (320 * number, 10))
    (warning,) = read(paper).placement.warnings
    assert warning.startswith(f"multiple-objects: {count} ")


def test_a_small_digit_in_a_large_jpeg_is_taken_from_the_fine_picture() -> None:
    paper = draw(size=90, pen=8, canvas=(2400, 1800), at=(1700, 900))
    digit = read(paper.convert("RGB"), "JPEG", quality=92)
    assert alike(digit.pixels, REFERENCE.pixels) > 0.95
    assert corner_near(digit, 1700, 900, 90)


def test_the_picture_is_drawn_only_when_it_is_asked_for() -> None:
    """And it is finer than what the digit was found in."""
    digit = read(draw(size=900, pen=75, canvas=(1200, 900)).convert("RGB"), "JPEG")
    assert "picture" not in vars(digit.placement)
    assert digit.placement.picture.shape == (384, 512, 3)


@pytest.mark.parametrize("turn", [lambda image: image, negative], ids=["dark", "light"])
def test_all_views_of_a_drawing_agree(turn: Callable[[Image.Image], Image.Image]) -> None:
    """Of any size and place, the digit becomes nearly the same pixels."""
    found: list[Array] = []
    for side in (64, 150, 280, 700, 1500):
        for shift in (0, side // 7):
            drawn = draw(size=side, pen=max(4, side // 12), canvas=(2 * side, side + shift), at=(shift, shift))
            found.append(read(turn(drawn)).pixels)
    assert min(alike(one, REFERENCE.pixels) for one in found) > 0.95


@pytest.mark.parametrize("seed", range(6))
def test_noise_alone_never_fails_otherwise_than_by_saying_so(seed: int) -> None:
    """A texture may look like strokes, but no picture breaks the search."""
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(1, 200, 2).tolist())
    smooth = Image.fromarray(rng.integers(0, 256, (size[1], size[0])).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(float(rng.integers(0, 6)))
    )
    try:
        digit = read(smooth)
    except BlankImage:
        return
    assert digit.pixels.shape == (SPEC.height, SPEC.width) and np.isfinite(digit.pixels).all()
    assert 0 <= digit.pixels.min() <= digit.pixels.max() == 1


@pytest.mark.parametrize("seed", range(12))
def test_flat_shapes_never_fail_otherwise_than_by_saying_so(seed: int) -> None:
    """Lit corners, triangles, crossing bars: what sheets and boxes may be taken for."""
    rng = np.random.default_rng(seed)
    image = Image.new("L", (256, 200), int(rng.integers(256)))
    pencil = ImageDraw.Draw(image)
    for corners in (3, 3, 4, 2, 5):
        points = [(x - 60, y - 60) for x, y in rng.integers(0, [380, 320], (corners, 2)).tolist()]
        if corners == 2:
            pencil.line(points, fill=int(rng.integers(256)), width=9)
        else:
            pencil.polygon(points, fill=int(rng.integers(256)))
        try:
            assert np.isfinite(read(image).pixels).all()
        except BlankImage:
            continue


def test_a_lit_corner_is_no_sheet() -> None:
    """Three corners are one too few."""
    lit = Image.new("L", (256, 256), 60)
    ImageDraw.Draw(lit).polygon([(0, 0), (0, 255), (255, 255)], fill=230)
    shown = on(lit, draw(size=90, pen=8), (20, 150))
    assert read(shown).placement.picture.shape == (256, 256, 3)


@pytest.mark.parametrize("ground", [(60,) * 3, (120,) * 3, (160,) * 3, (200,) * 3, (70, 130, 220), (196, 164, 120)])
def test_white_on_an_even_ground_of_any_tone(ground: tuple[int, int, int]) -> None:
    cover = negative(draw(size=220, pen=18, canvas=(300, 240), at=(40, 10)))
    image = Image.composite(Image.new("RGB", cover.size, "white"), Image.new("RGB", cover.size, ground), cover)
    digit = read(image)
    assert alike(digit.pixels, REFERENCE.pixels) > 0.93
    assert "inverted" not in digit.placement.steps


def test_white_on_a_coloured_gradient() -> None:
    along = np.linspace(0, 1, 400)[:, None] * np.ones(300)
    ground = np.stack([60 + 150 * along, 90 + 60 * along, 200 - 90 * along], axis=-1).astype(np.uint8)
    cover = negative(draw(size=220, pen=18, canvas=(300, 400), at=(40, 90)))
    digit = read(Image.composite(Image.new("RGB", cover.size, "white"), Image.fromarray(ground), cover))
    assert alike(digit.pixels, REFERENCE.pixels) > 0.93


def test_a_stroke_that_is_half_as_dark_is_not_cut_off() -> None:
    image = Image.new("L", (300, 300), 230)
    ImageDraw.Draw(image).line([(150, 100), (150, 260)], fill=137, width=14)
    ImageDraw.Draw(image).line([(150, 40), (150, 100)], fill=20, width=14)
    digit = read(image)
    assert digit.placement.transform[0] == pytest.approx(220 / 20, rel=0.05)
    assert (digit.pixels.max(axis=1) > 0.2).sum() == 20


def test_a_small_digit_is_found_in_a_jpeg_as_in_a_png() -> None:
    paper = draw(size=60, pen=6, canvas=(2000, 1500), at=(800, 600))
    for kind in ("PNG", "JPEG"):
        assert alike(read(paper, kind).pixels, REFERENCE.pixels) > 0.9, kind


def test_a_digit_that_is_too_small_is_not_said_to_be_faint() -> None:
    with pytest.raises(BlankImage, match=r"specks.*larger"):
        read(draw(size=14, pen=1, canvas=(2000, 1500), at=(800, 600)))


def gingham(light: int = 225, dark: int = 120) -> Image.Image:
    """Cloth whose squares are as light as the sheet, half as light, or between."""
    y, x = np.mgrid[0 : LARGE[1], 0 : LARGE[0]]
    crossings = ((y + x // 4) // 22 % 2) + ((x - y // 4) // 22 % 2)
    return Image.fromarray(np.array([light, (light + dark) // 2, dark], np.uint8)[crossings])


def test_a_cloths_pattern_that_the_frame_cuts_is_no_digit() -> None:
    corners, at = [(60, -40), (760, -10), (740, 380), (80, 360)], (280, 60)
    digit = read(sheet(gingham(), corners, at))
    assert "sheet found" in digit.placement.steps
    assert alike(digit.pixels, REFERENCE.pixels) > 0.9
    assert corner_near(digit, *at, 200)


def test_a_digit_in_a_cell_of_a_crossword() -> None:
    paper = Image.new("L", (800, 800), 240)
    pencil = ImageDraw.Draw(paper)
    for row, column in np.ndindex(5, 5):
        if (3 * row + 2 * column) % 4 == 0 and (row, column) != (2, 2):
            pencil.rectangle((160 * row, 160 * column, 160 * row + 160, 160 * column + 160), fill=30)
    for at in range(0, 801, 160):
        pencil.line((at, 0, at, 800), fill=40, width=4)
        pencil.line((0, at, 800, at), fill=40, width=4)
    digit = read(noisy(on(paper, draw(size=130, pen=10), (335, 335)), 4))
    assert alike(digit.pixels, REFERENCE.pixels) > 0.85
    assert corner_near(digit, 335, 335, 130)


def test_strokes_that_fade_in_glare_are_followed() -> None:
    """Where most of the board has one tone, the strokes in its glare are as light as that."""
    board, there = np.full((600, 800), 180.0), np.asarray(draw(size=400, pen=28, canvas=LARGE, at=(200, 100))) < 128
    y, x = np.mgrid[0:600, 0:800]
    glare = np.clip(1.3 * np.exp(-(((x - 330) / 170) ** 2) - ((y - 130) / 130) ** 2), 0, 1)
    seen = np.where(there, 60, board) * (1 - 0.75 * glare) + 255 * 0.75 * glare
    digit = read(noisy(Image.fromarray(seen.astype(np.uint8))))
    assert corner_near(digit, 200, 100, 400)
    assert digit.pixels[:12].max() > 0.5  # its upper strokes, which lie in the glare


@pytest.mark.parametrize("size", [42, 60])
def test_a_digit_that_is_tiny_in_a_large_picture(size: int) -> None:
    """Too small for the first look, at 160 pixels."""
    digit = read(draw(size=size, pen=size // 11, canvas=(2000, 1500), at=(800, 600)))
    assert alike(digit.pixels, REFERENCE.pixels) > 0.85
    assert corner_near(digit, 800, 600, size)


def test_a_digit_that_a_draft_does_not_show_is_found_in_the_whole_jpeg() -> None:
    paper = draw(size=90, pen=5, canvas=(4000, 3000), at=(1700, 900))
    digit = read(paper.convert("RGB"), "JPEG", quality=92)
    assert alike(digit.pixels, REFERENCE.pixels) > 0.85
    assert corner_near(digit, 1700, 900, 90)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_digit_lies_where_it_is_at_every_size(scale: int) -> None:
    """Its centre to a fifth of a model's pixel, whether its strokes are taken from the page or a finer picture."""
    size = 70 * scale
    digit = read(draw(size=size, pen=6 * scale, canvas=(3 * size, 3 * size), at=(size, size)))
    pixel, _, left, _, _, top = digit.placement.transform
    grid, mass = np.arange(28) + 0.5, digit.pixels.sum()
    ink = 255 - np.asarray(draw(size=size, pen=6 * scale), float)
    places = np.arange(size) + 0.5
    x, y = (float((digit.pixels.sum(axis) @ grid) / mass) for axis in (0, 1))
    assert left + pixel * x == pytest.approx(size + ink.sum(0) @ places / ink.sum(), abs=pixel / 5)
    assert top + pixel * y == pytest.approx(size + ink.sum(1) @ places / ink.sum(), abs=pixel / 5)
