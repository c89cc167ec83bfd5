"""Grey picture -> the strokes of its digit: polarity, uneven light, ruled lines, specks, what belongs together."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from server.errors import BlankImage
from server.images.resampling import resample, shrunk
from server.types import Array

MIN_CONTRAST = 30 / 255  # between ink and paper, as a share of the paper's light


@dataclass(frozen=True)
class _Ink:
    """amount (h, w): 0 = paper, `level` = a stroke's core; noise: standard deviation of the paper's amount."""

    amount: Array
    level: float
    noise: float
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """strokes (h, w) float32 in [0, 1] of one digit; (0, 0) lies at (left, top) of the picture, a step is `factor`."""

    strokes: Array
    left: float
    top: float
    factor: float
    steps: tuple[str, ...]
    warnings: tuple[str, ...]


def has_light_ink(grey: Array) -> bool:
    """Ink is the rare tone, so it skews the picture, against its near and its far surroundings; where these disagree (a
    dark table around the paper, strokes that fill the picture), it is the tone that most pixels do not have."""
    small = shrunk(grey, 120)[0]
    skews = []
    for share in (0.1, 0.2):
        detail = small - ndimage.gaussian_filter(small, share * max(small.shape), mode="nearest", truncate=2.0)
        skews.append(float((detail * detail * detail).sum()))
    if min(skews) > 0 or max(skews) < 0:
        return skews[0] > 0
    low, high = np.percentile(small, (1, 99))
    dark = float((small < (low + high) / 2).mean())
    return dark > 0.5 if abs(dark - 0.5) > 0.1 else skews[1] > 0


def find_strokes(grey: Array, light_ink: bool) -> Found:
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
    return Found(strokes, columns.start, rows.start, 1, steps, ("multiple-objects",) if crowded else ())


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
    ends = max(2, width // 16)  # columns at each edge, half of which a line must reach
    reached = np.logical_or.reduce(mask, axis=0)
    if min(height, width) < 60 or min(reached[:ends].mean(), reached[-ends:].mean()) < 0.5:
        return lines
    rows, columns = np.nonzero(mask)
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
    pen = stroke_width((labels[rows, columns] == main).astype(np.float32))
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


def stroke_width(strokes: Array) -> float:
    """Mean width of strokes (h, w) in pixels: twice the area over the perimeter (the total variation of soft edges)."""
    padded = np.pad(strokes, 1)
    down, across = np.gradient(padded)
    return float(2 * strokes.sum() / max(float(np.hypot(down, across).sum()), 1e-6))
