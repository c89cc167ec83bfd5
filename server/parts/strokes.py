"""Cuts the ink of a digit into strokes: its medial line (skeleton) as a graph, split where lines meet or a pen turns.

Lengths are shares of the longer side of the ink's box, so that nothing depends on the size of the image. Deterministic.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from server.parts.skeleton import Path, pruned
from server.types import Array, Section

SHORT = 0.2  # shorter strokes are put to a neighbour
LONG, LONG_CURVE = 0.8, 1.0  # longer ones are cut
APART = 0.15  # strokes further from all others stay by themselves, however short
CORNER = 70  # degrees by which a pen turns sharply
STEP = 0.17  # over which a turn is measured
BULGE = 0.15  # of its length: a line that bulges less is straight
WHOLE_LOOP, MOST_LOOP = 0.4, 0.75  # of all lines: a longer loop is cut into two sides, and into four
ROUND, NEARLY = 0.6, 0.2  # lengths of a loop, at least, and of what may be missing of it
MOST_STROKES = 8
MOST_BRANCHES = 24  # beyond, this is no drawing
MOST_LINE = 6  # sides of the box; nor if its lines are longer than that
THICK = 0.3  # mean width of a stroke; beyond, this is a blot
GRID = 3  # cells a side of what is neither; of two pixels at least


@dataclass(frozen=True)
class Stroke:
    """A piece of the digit: the line that its name follows, and all points whose ink is its own."""

    shape: Path
    points: Path
    is_loop: bool = False
    section: Section | None = None  # where `shape` is a loop or a straight line, and this only a section of it


def cut(ink: Array, solid: Array) -> tuple[Array, list[Stroke]]:
    """Which piece, 0 .. n-1, each pixel of `ink` (H, W) bool belongs to, -1 for paper: (H, W) int; and the strokes that
    the pieces are, at most 8, along the medial line of the ink that is `solid` (H, W) bool.

    What is no drawing, such as noise or a blot, is cut by a grid over its box into 9 pieces at most, and has no
    strokes. Some ink has to be solid.
    """
    strokes = _strokes(solid)
    if not strokes:
        return _by_grid(ink), []
    points = np.concatenate([np.array(stroke.points) for stroke in strokes])
    numbers = np.repeat(np.arange(len(strokes)), [len(stroke.points) for stroke in strokes])
    labels = nearest(ink, points, numbers)
    used = np.unique(labels[ink])  # a stroke of nothing but points that it shares with others may get no ink
    labels[ink] = np.searchsorted(used, labels[ink])
    return labels, [strokes[number] for number in used]


def nearest(where: Array, points: Array, numbers: Array, reach: float = np.inf) -> Array:
    """For each pixel in `where` (H, W) bool the number, of `numbers` (k,), of the nearest of the points (k, 2); -1
    elsewhere, and where none is within `reach`: (H, W) int."""
    found = np.full(where.shape, -1)
    if not where.any():
        return found
    pixels, points = np.argwhere(where).astype(float), points.astype(float)
    squares = (points**2).sum(axis=1) - 2 * pixels @ points.T  # of the distances, but for those of the pixels
    closest = squares.argmin(axis=1)
    distances = np.hypot(*(pixels - points[closest]).T)
    found[where] = np.where(distances <= reach, numbers[closest], -1)
    return found


def _strokes(solid: Array) -> list[Stroke]:
    """None at all where the ink is no drawing."""
    side = max(int(np.ptp(along)) for along in np.nonzero(solid)) + 1
    branches = pruned(solid, side, MOST_LINE * side, MOST_BRANCHES)
    total = sum(map(len, branches))
    if not branches or solid.sum() > THICK * side * max(total, side / 2):
        return []
    if len(branches) == 1 and len(branches[0]) > SHORT * side and _is_straight(branches[0]):
        return list(_sections(branches[0], 3))
    strokes = [stroke for branch in branches for stroke in _split(branch, side, total)]
    return _merged(strokes, side)


def _split(branch: Path, side: int, total: int) -> Iterator[Stroke]:
    """A branch, cut at sharp turns, and where it is long."""
    if len(branch) > ROUND * side and np.hypot(*np.subtract(branch[0], branch[-1])) <= NEARLY * side:
        share = len(branch) / total
        yield from [Stroke(branch, branch, True)] if share <= WHOLE_LOOP else _sides(branch, share > MOST_LOOP)
        return
    for piece in _at_corners(branch, max(2, round(STEP * side))):
        yield from _in_length(piece, side)


def _sides(loop: Path, four: bool) -> Iterator[Stroke]:
    """Left and right of a loop; or its left, right, top and bottom."""
    points = np.array(loop)
    down, right = ((points - points.min(axis=0)) / np.maximum(np.ptp(points, axis=0), 1) - 0.5).T
    level = four & (np.abs(down) >= np.abs(right))
    sides: dict[Section, Array] = {
        "left": ~level & (right < 0), "right": ~level & (right >= 0), "top": level & (down < 0),
        "bottom": level & (down >= 0),
    }  # fmt: skip
    for section, chosen in sides.items():
        if chosen.any():
            yield Stroke(loop, list(map(tuple, points[chosen].tolist())), True, section)


def _at_corners(path: Path, step: int) -> Iterator[Path]:
    """A path in pieces without sharp turns."""
    points = np.array(path, float)
    if len(points) <= 2 * step:
        yield path
        return
    before, after = points[step:-step] - points[: -2 * step], points[2 * step :] - points[step:-step]
    lengths = np.hypot(*before.T) * np.hypot(*after.T)
    turns = np.degrees(np.arccos(np.clip((before * after).sum(axis=1) / np.maximum(lengths, 1e-9), -1, 1)))
    if turns.max() < CORNER:
        yield path
        return
    corner = step + int(turns.argmax())
    yield from _at_corners(path[:corner], step)
    yield from _at_corners(path[corner:], step)


def _in_length(path: Path, side: int) -> Iterator[Stroke]:
    """A path in pieces that are not too long: a curve cut where it bulges most, a straight line into halves."""
    points = np.array(path, float)
    length, is_straight = np.hypot(*np.diff(points, axis=0).T).sum(), _is_straight(path)
    if length <= (LONG if is_straight else LONG_CURVE) * side:
        yield Stroke(path, path)
    elif is_straight:
        yield from _sections(path, 2)
    else:
        third = len(path) // 3
        at = third + int(_bulges(points)[third : len(path) - third].argmax())
        yield from _in_length(path[:at], side)
        yield from _in_length(path[at:], side)


def _sections(line: Path, count: int) -> Iterator[Stroke]:
    """A straight line in equal sections, named from its upper end, or from its left one where it is flat."""
    (top, left), (bottom, right) = line[0], line[-1]
    is_flat = abs(right - left) > abs(bottom - top)
    names: list[Section] = ["left", "middle", "right"] if is_flat else ["upper", "middle", "lower"]
    if (left > right) if is_flat else (top > bottom):
        names.reverse()
    edges = np.linspace(0, len(line), count + 1).round().astype(int).tolist()
    for name, start, end in zip(names if count == 3 else names[::2], edges[:-1], edges[1:], strict=True):
        yield Stroke(line, line[start:end], section=name)


def _is_straight(path: Path) -> bool:
    return bool(_bulges(np.array(path, float)).max() < BULGE * len(path))


def _bulges(points: Array) -> Array:
    """How far each of the points (k, 2) of a line is from its chord: (k,)."""
    offset = points - points[0]
    down, right = offset[-1]
    crossed = np.abs(down * offset[:, 1] - right * offset[:, 0])
    length = float(np.hypot(down, right))
    return np.asarray(crossed / length if length else np.hypot(*offset.T))


def _merged(strokes: list[Stroke], side: int) -> list[Stroke]:
    """Strokes that are short or too many, put to the nearest of the others unless they stand apart."""
    strokes, apart = sorted(strokes, key=lambda stroke: stroke.points), list[Stroke]()
    while len(strokes) > 1:
        shortest = min(strokes, key=lambda stroke: len(stroke.points))
        room = len(strokes) + len(apart) <= MOST_STROKES
        if room and len(shortest.points) > SHORT * side:
            break
        strokes.remove(shortest)
        gaps = [_gap(shortest.points, other.points) for other in strokes]
        nearest = int(np.argmin(gaps))
        if room and gaps[nearest] > max(2.0, APART * side):
            apart.append(shortest)
        else:
            grown = strokes[nearest]
            section = None if grown.shape is shortest.shape else grown.section  # two sections of a loop are the loop
            strokes[nearest] = replace(grown, points=grown.points + shortest.points, section=section)
    return strokes + apart


def _gap(one: Path, other: Path) -> float:
    """The least distance between two paths."""
    first, second = np.array(one, float), np.array(other, float)
    return float(np.sqrt(((first[:, None] - second[None]) ** 2).sum(axis=2).min()))


def _by_grid(ink: Array) -> Array:
    rows, columns = np.nonzero(ink)
    cell = np.zeros(len(rows), int)
    for along in (rows, columns):
        side = int(np.ptp(along)) + 1
        cell = cell * GRID + (along - along.min()) * min(GRID, max(1, side // 2)) // side
    labels = np.full(ink.shape, -1)
    labels[ink] = np.unique(cell, return_inverse=True)[1]
    return labels
