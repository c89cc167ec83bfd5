"""Grey picture of a digit -> the digit as in MNIST: light ink on black, 20 of 28 pixels long, centred by mass.

Finds the ink (polarity, uneven light, ruled lines, specks), chooses the digit among it and resamples that. Coordinates
count from pixels' edges: centres are at (column + 0.5, row + 0.5). Must not know file formats, colours or HTTP.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from server.errors import BlankImage
from server.types import Array, ImageSpec

WORK_SIDE = 600  # pixels; the filters below look at no more than this on the longer side
FINE_SIDE = 120  # pixels; a digit found smaller than this is looked at again in the finer picture
MIN_CONTRAST = 30 / 255  # between ink and paper, as a share of the paper's light
INNER_SHARE = 20 / 28  # longest side of the digit in the model's image: MNIST's
STROKES = (1.1, 4.0)  # stroke widths in model pixels that MNIST knows well; beyond them strokes are corrected ...
STROKE_GOALS = (1.7, 3.4)  # ... to these
CORRECTION_SIDE = 200  # pixels; the size at which strokes are corrected


@dataclass(frozen=True)
class Normalised:
    """pixels (H, W) float32; model point (x, y) lies at (left + scale x, top + scale y) of the grey picture."""

    pixels: Array
    scale: float
    left: float
    top: float
    steps: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Ink:
    """amount (h, w): 0 = paper, `level` = a stroke's core; noise: standard deviation of the paper's amount."""

    amount: Array
    level: float
    noise: float
    steps: tuple[str, ...]


@dataclass(frozen=True)
class _Found:
    """strokes (h, w) float32 in [0, 1] of one digit; (0, 0) lies at (left, top) of the picture, a step is `factor`."""

    strokes: Array
    left: float
    top: float
    factor: float
    steps: tuple[str, ...]
    warnings: tuple[str, ...]


def is_normalised(grey: Array, spec: ImageSpec) -> bool:
    """Whether grey (h, w) uint8 already is like MNIST: the size, a dark border, light ink in the usual amount."""
    if grey.shape != (spec.height, spec.width):
        return False
    border = int(grey[0].sum()) + int(grey[-1].sum()) + int(grey[1:-1, 0].sum()) + int(grey[1:-1, -1].sum())
    dark = border <= 0.05 * 255 * 2 * (spec.height + spec.width - 2)
    return dark and int(grey.max()) >= 180 and 0.02 <= float(grey.mean()) / 255 <= 0.36


def normalise(grey: Array, spec: ImageSpec) -> Normalised:
    """Normalise grey (h, w) uint8, upright, either polarity. Raises BlankImage when there is nothing like a digit."""
    coarse, factor = _shrunk(grey, WORK_SIDE)
    coarse /= 255
    light_ink = _has_light_ink(coarse)
    found = _find(coarse, light_ink)
    found = replace(found, left=found.left * factor, top=found.top * factor, factor=factor)
    if factor > 1 and max(found.strokes.shape) < FINE_SIDE:
        found = _find_again(grey, found, light_ink)
    return _fit(found, spec)


def resample(
    source: Array, left: float, top: float, scale: float | tuple[float, float], shape: tuple[int, int]
) -> Array:
    """Picture of `shape` that begins at (left, top) of source (h, w); a pixel spans `scale` (one, or x and y) of its.

    Antialiased: area when shrinking, linear when growing; source counts as 0 beyond its edges."""
    scale_x, scale_y = scale if isinstance(scale, tuple) else (scale, scale)
    rows = _weights(source.shape[0], top, scale_y, shape[0])
    columns = _weights(source.shape[1], left, scale_x, shape[1])
    return np.asarray(rows @ source.astype(np.float32) @ columns.T, np.float32)


def _weights(n_in: int, start: float, step: float, n_out: int) -> Array:
    """(n_out, n_in) float32: what each input pixel gives to each output pixel; a row inside sums to 1."""
    low, pixels = start + step * np.arange(n_out)[:, None], np.arange(n_in)
    if step < 1:  # growing: hat functions around the pixels' centres
        weights = 1 - np.abs(low + step / 2 - 0.5 - pixels)
    else:
        weights = (np.minimum(low + step, pixels + 1) - np.maximum(low, pixels)) / step
    return np.asarray(np.maximum(weights, 0), np.float32)


def _shrunk(grey: Array, side: int) -> tuple[Array, int]:
    """Mean over factor x factor blocks, float32; up to factor - 1 last rows and columns are left out."""
    factor = -(-max(grey.shape) // side)
    factor = max(1, min(factor, *grey.shape))
    height, width = grey.shape[0] // factor * factor, grey.shape[1] // factor * factor
    total = np.zeros((height // factor, width // factor), np.float32)
    for row in range(factor):
        for column in range(factor):
            total += grey[row:height:factor, column:width:factor]
    return total / np.float32(factor * factor), factor


def _has_light_ink(grey: Array) -> bool:
    """Ink is the rare tone, so it skews the picture, against its near and its far surroundings; where these disagree (a
    dark table around the paper, strokes that fill the picture), it is the tone that most pixels do not have."""
    small = _shrunk(grey, 120)[0]
    skews = []
    for share in (0.1, 0.2):
        detail = small - ndimage.gaussian_filter(small, share * max(small.shape), mode="nearest", truncate=2.0)
        skews.append(float((detail**3).sum()))
    if min(skews) > 0 or max(skews) < 0:
        return skews[0] > 0
    low, high = np.percentile(small, (1, 99))
    dark = float((small < (low + high) / 2).mean())
    return dark > 0.5 if abs(dark - 0.5) > 0.1 else skews[1] > 0


def _find_again(grey: Array, found: _Found, light_ink: bool) -> _Found:
    """The same digit in the finer picture, with paper around it to compare with."""
    height, width = (side * found.factor for side in found.strokes.shape)
    margin = 0.4 * max(height, width)
    top, left = max(0, int(found.top - margin)), max(0, int(found.left - margin))
    crop = grey[top : int(found.top + height + margin), left : int(found.left + width + margin)]
    fine, factor = _shrunk(crop, WORK_SIDE)
    try:
        finer = _find(fine / 255, light_ink)
    except BlankImage:
        return found
    left_edge, top_edge = left + factor * finer.left, top + factor * finer.top
    return replace(found, strokes=finer.strokes, left=left_edge, top=top_edge, factor=factor)


def _find(grey: Array, light_ink: bool) -> _Found:
    """The strokes of the digit in grey (h, w) float32 in [0, 1]."""
    ink = _ink(1 - grey if light_ink else grey)
    faint = ink.amount > max(0.3 * ink.level, 3 * ink.noise)
    printed = ink.amount > max(0.15 * ink.level, 3 * ink.noise)  # ruled lines are often fainter than ink
    lines = _ruled_lines(printed) | _ruled_lines(printed.T).T
    if (faint & ~lines).sum() < 0.1 * lines.sum():  # the only stroke of a tightly cut 1, not a line
        lines[:] = False
    strong = ink.amount > max(0.5 * ink.level, 5 * ink.noise)
    group, crowded = _digit(faint & ~lines, strong)
    rows, columns = ndimage.find_objects(group.astype(np.uint8))[0]
    rows = slice(max(0, rows.start - 2), rows.stop + 2)
    columns = slice(max(0, columns.start - 2), columns.stop + 2)
    level = float(np.percentile(ink.amount[group], 90))
    low = max(0.1 * level, 2.5 * ink.noise)
    ramp = np.clip((ink.amount[rows, columns] - low) / max(0.9 * level - low, 1e-6), 0, 1)
    ruled = ndimage.binary_dilation(lines[rows, columns], np.ones((3, 1))) & ~group[rows, columns]
    near = ndimage.binary_dilation(group[rows, columns], np.ones((3, 3)), iterations=2) & ~ruled
    steps = (() if light_ink else ("inverted",)) + ink.steps + (("lines removed",) if lines.any() else ())
    strokes = np.asarray(ramp * near, np.float32)
    return _Found(strokes, columns.start, rows.start, 1, steps, ("multiple-objects",) if crowded else ())


def _ink(grey: Array) -> _Ink:
    """How much darker than its paper each pixel of grey (h, w) is. Raises BlankImage."""
    paper, uneven = _paper(grey)
    amount = 1 - grey / np.maximum(paper, 0.05)
    sample = amount[::2, ::2] if amount.size > 40_000 else amount
    middle = float(np.median(sample))
    noise = 1.4826 * float(np.median(np.abs(sample - middle)))
    amount -= middle
    strong = amount[amount > max(5 * noise, 0.8 * MIN_CONTRAST)]
    level = float(np.percentile(strong, 90)) if strong.size >= 3 else 0.0
    if level < MIN_CONTRAST:
        highest = max(0.0, float(amount.max()))
        raise BlankImage(
            f"the picture looks blank: its strongest mark differs from the paper by {highest:.0%}; a digit must differ "
            f"by at least {MIN_CONTRAST:.0%} and stand out of the noise. Use a darker pen, or send a brighter picture."
        )
    return _Ink(amount, level, noise, ("light evened",) if uneven else ())


def _paper(grey: Array) -> tuple[Array, bool]:
    """What grey (h, w) would be without ink, and whether that is uneven: one tone or a quadratic surface where that
    evens the border, however thick the strokes; else, for shadows, a closing with a window wider than strokes."""
    step = max(1, -(-max(grey.shape) // 80))
    height, width = -(-grey.shape[0] // step), -(-grey.shape[1] // step)
    padded = np.pad(grey, ((0, height * step - grey.shape[0]), (0, width * step - grey.shape[1])), mode="edge")
    small = padded.reshape(height, step, width, step).mean((1, 3))
    if _is_even(small):
        return np.full_like(grey, np.median(_border(small))), False
    paper = _lamp(small)
    if not _is_even(small / paper):
        window = max(3, round(0.25 * max(small.shape)))
        paper = ndimage.minimum_filter(ndimage.maximum_filter(small, window), window)
        paper = ndimage.gaussian_filter(paper, 2.0, mode="nearest")
    return resample(np.pad(paper, 1, mode="edge"), 1, 1, 1 / step, grey.shape), True


def _border(grey: Array) -> Array:
    return np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])


def _is_even(grey: Array) -> bool:
    """Whether the border of grey (h, w) has one tone, but for a few strokes that reach it."""
    low, middle, high = np.percentile(_border(grey), (15, 50, 85))
    return bool(high - low < 0.08 * max(middle, 0.05))


def _lamp(grey: Array) -> Array:
    """Quadratic surface (h, w) through the paper of grey (h, w): fitted again and again without what is darker."""
    height, width = grey.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).reshape(-1, 6)
    values = grey.ravel().astype(np.float64)
    kept, surface = np.ones(values.size, bool), values
    for _ in range(5):
        some = terms[kept]
        surface = terms @ np.linalg.lstsq(some.T @ some, some.T @ values[kept])[0]
        kept = values - surface > -max(0.02, float(np.median(np.abs(values - surface))))
    return np.asarray(np.maximum(surface, 0.05).reshape(grey.shape))


def _ruled_lines(mask: Array) -> Array:
    """Pixels of mask (h, w) on thin straight lines from the left to the right edge, but where a stroke crosses."""
    height, width = mask.shape
    lines = np.zeros_like(mask)
    rows, columns = np.nonzero(mask)
    if min(height, width) < 60 or not rows.size:
        return lines
    across = np.arange(width)

    def counts(slope: float) -> Array:
        levelled = np.rint(rows - slope * (columns - width / 2)).astype(np.intp)
        return np.bincount(np.clip(levelled, 0, height - 1), minlength=height).astype(np.float64)

    slope = max(np.linspace(-0.06, 0.06, 25).tolist(), key=lambda slope: float((counts(slope) ** 2).sum()))
    drift = np.rint(slope * (across - width / 2)).astype(np.intp)
    for (band,) in ndimage.find_objects(ndimage.label(counts(slope) > 0.4 * width)[0]):
        if band.stop - band.start > max(3, round(0.02 * height)):
            continue
        at = np.clip(
            np.arange(band.start - 2, band.stop + 2)[:, None] + drift, 0, height - 1
        )  # with a row on each side
        strip = mask[at, across]
        on_line = strip[1:-1].any(0)
        ends = max(2, width // 16)
        if min(on_line[:ends].mean(), on_line[-ends:].mean()) >= 0.5:
            lines[at[1:-1], across] |= strip[1:-1] & ~(strip[0] | strip[-1])
    return lines


def _digit(mask: Array, strong: Array) -> tuple[Array, bool]:
    """The components of mask (h, w) that form the main digit, and whether another thing as large stands beside it.

    Components without a strong pixel are shadows and stains. Raises BlankImage when only specks remain.
    """
    labels, n = ndimage.label(mask, np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=n + 1)
    areas[0] = 0
    areas[np.bincount(labels[strong & mask], minlength=n + 1) == 0] = 0
    height, width = mask.shape
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    contact = np.bincount(edge, minlength=n + 1) / edge.size
    # What the picture's edge cuts is rather a finger or a shadow; what lies along the edge is the table, not a digit.
    weight = areas * np.where(contact > 0, 0.2, 1) * np.where(contact > 0.2, 0.01, 1)
    main = int(np.argmax(weight))
    extents = np.array([(0, 0, 0, 0)] + [(r.start, c.start, r.stop, c.stop) for r, c in ndimage.find_objects(labels)])
    sides = np.maximum(extents[:, 2] - extents[:, 0], extents[:, 3] - extents[:, 1])
    if areas[main] == 0 or sides[main] < max(5, 0.02 * max(height, width)):
        raise BlankImage(
            "the picture has only specks, nothing as large as a digit; expected one digit written in strokes. "
            "Write it larger, or crop the picture to it."
        )
    rows, columns = (slice(extents[main, axis], extents[main, axis + 2]) for axis in (0, 1))
    pen = _stroke_width((labels[rows, columns] == main).astype(np.float32))
    areas[areas < 0.4 * pen * sides] = 0  # too thin for this pen: rests of ruled lines
    members, crowded = _members(main, areas, extents, contact > 0)
    return np.isin(labels, members), crowded


def _members(main: int, areas: Array, extents: Array, is_edge: Array) -> tuple[list[int], bool]:
    """Labels that belong to component `main`, and whether another large one does not.

    Digits stand side by side, parts of one rather above each other: there, and for small parts, the gap may be wider.
    """
    candidates = [int(i) for i in np.flatnonzero(areas >= max(2, 0.01 * areas[main])) if i != main]
    large = {i for i in candidates if areas[i] >= 0.3 * areas[main] and not is_edge[i]}
    members, box, before = [main], extents[main].astype(float), 0
    while len(members) > before:
        before = len(members)
        for i in candidates:
            other, longest = extents[i], max(box[2:] - box[:2])
            shared = min(other[3], box[3]) - max(other[1], box[1])
            above = shared > 0.5 * min(other[3] - other[1], box[3] - box[1])
            reach = 0.25 if above and not is_edge[i] else 0.08 if i in large or is_edge[i] else 0.2
            gap = np.hypot(*np.maximum(0, np.maximum(other[:2] - box[2:], box[:2] - other[2:])))
            if i not in members and gap <= reach * longest and max(other[2:] - other[:2]) <= 1.2 * longest:
                members.append(i)
            if i in members and i in large:
                box = np.concatenate([np.minimum(box[:2], other[:2]), np.maximum(box[2:], other[2:])])
    return members, bool(large - set(members))


def _fit(found: _Found, spec: ImageSpec) -> Normalised:
    """Strokes of MNIST's width, the longest side INNER_SHARE of the image, the centre of mass on its middle pixel."""
    inner = round(INNER_SHARE * min(spec.height, spec.width))
    found = _with_usual_strokes(found, inner)
    top, left, bottom, right = _extent(found.strokes)
    scale = max(bottom - top, right - left) / inner
    mass = found.strokes.sum(dtype=np.float64)
    row = float(found.strokes.sum(1) @ (np.arange(found.strokes.shape[0]) + 0.5) / mass)
    column = float(found.strokes.sum(0) @ (np.arange(found.strokes.shape[1]) + 0.5) / mass)
    # Whole pixels, as MNIST shifts: the digit's outer edges stay on the grid and crisp.
    shift_y = round(spec.height // 2 + 0.5 - (row - top) / scale)
    shift_x = round(spec.width // 2 + 0.5 - (column - left) / scale)
    shift_y = max(0, min(shift_y, spec.height - round((bottom - top) / scale)))
    shift_x = max(0, min(shift_x, spec.width - round((right - left) / scale)))
    left, top = left - shift_x * scale, top - shift_y * scale
    pixels = resample(found.strokes, left, top, scale, (spec.height, spec.width))
    pixels = np.clip(pixels / max(float(pixels.max()), 1e-6), 0, 1)
    steps = (*found.steps, "cropped", "centred")
    f = found.factor
    return Normalised(pixels, scale * f, found.left + left * f, found.top + top * f, steps, found.warnings)


def _extent(strokes: Array) -> tuple[float, float, float, float]:
    """Top, left, bottom, right of strokes (h, w); a partly covered outermost row or column counts by its cover."""
    edges = []
    for cover in (strokes.max(1), strokes.max(0)):
        inside = np.flatnonzero(cover >= 0.5 * cover.max())
        first, last = int(inside[0]), int(inside[-1])
        before = float(cover[first - 1]) if first else 0.0
        after = float(cover[last + 1]) if last + 1 < cover.size else 0.0
        edges.append((first - before, last + 1 + after))
    (top, bottom), (left, right) = edges
    return top, left, bottom, right


def _with_usual_strokes(found: _Found, inner: int) -> _Found:
    """Hairlines thickened and markers thinned by an offset of their outline, in a picture large enough for it."""
    top, left, bottom, right = _extent(found.strokes)
    longest = max(bottom - top, right - left)
    width = _stroke_width(found.strokes) * inner / longest
    goal = STROKE_GOALS[0] if width < STROKES[0] else STROKE_GOALS[1]
    if STROKES[0] <= width <= STROKES[1]:
        return found
    step = longest / CORRECTION_SIDE
    margin = round(0.1 * CORRECTION_SIDE)
    left, top = left - margin * step, top - margin * step
    shape = tuple(int(np.ceil(side / step)) + margin for side in (bottom - top, right - left))
    strokes = resample(found.strokes, left, top, step, (shape[0], shape[1]))
    inside = strokes >= 0.5 * min(1.0, float(strokes.max()))
    # Signed distance to the outline: below 0 inside. Offsetting it moves the outline by less than a pixel if need be.
    distance = ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside)
    offset = (goal - width) / 2 * CORRECTION_SIDE / inner
    strokes = np.asarray(np.clip(0.5 + offset - distance, 0, 1), np.float32)
    left, top = found.left + left * found.factor, found.top + top * found.factor
    steps = (*found.steps, "thickened" if goal > width else "thinned")
    return replace(found, strokes=strokes, left=left, top=top, factor=found.factor * step, steps=steps)


def _stroke_width(strokes: Array) -> float:
    """Mean width of strokes (h, w) in pixels: twice the area over the perimeter (the total variation of soft edges)."""
    padded = np.pad(strokes, 1)
    down, across = np.gradient(padded)
    return float(2 * strokes.sum() / max(float(np.hypot(down, across).sum()), 1e-6))
