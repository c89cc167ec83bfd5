"""The medial line (skeleton) of ink, as a graph: its branches between ends and junctions, without spurs."""

from collections.abc import Iterator

import numpy as np

from server.explainers.segmentation import medial_line
from server.types import Array

Point = tuple[int, int]
Path = list[Point]
"""Points (row, column), each beside the next; a loop ends where it began."""

SPUR = 0.14  # of the ink's box: shorter side branches are no strokes, but the line's answer to an uneven edge


def pruned(solid: Array, side: int, longest: float, most: int) -> list[Path]:
    """The branches of the medial line of `solid` (H, W) bool, whose box is `side` long: paths between ends and
    junctions, both included. None at all where they are more than `most`, or longer than `longest` in all."""
    points = {(row, column) for row, column in np.argwhere(medial_line(solid)).tolist()}
    if len(points) > longest:
        return []
    while True:
        around = _graph(points)
        branches = list(_branches(around))
        if len(branches) > 2 * most:
            return []
        spurs = [branch for branch in branches if len(branch) <= SPUR * side and _is_side_branch(branch, around)]
        if not spurs:
            return branches if len(branches) <= most else []
        shortest = min(spurs, key=lambda branch: (len(branch), branch))
        points = points - {point for point in shortest if len(around[point]) < 3}


def _is_side_branch(branch: Path, around: dict[Point, Path]) -> bool:
    degrees = [len(around[end]) for end in (branch[0], branch[-1])]
    return min(degrees) == 1 and max(degrees) > 2


def _graph(points: set[Point]) -> dict[Point, Path]:
    """The neighbours of each point; two that touch by a corner are none where another point joins them."""
    around: dict[Point, Path] = {}
    for row, column in sorted(points):
        straight = [(row - 1, column), (row, column - 1), (row, column + 1), (row + 1, column)]
        diagonal = [
            (row + down, column + right)
            for down in (-1, 1)
            for right in (-1, 1)
            if (row + down, column) not in points and (row, column + right) not in points
        ]
        around[row, column] = [point for point in straight + diagonal if point in points]
    return around


def _branches(around: dict[Point, Path]) -> Iterator[Path]:
    walked: set[Point] = set()
    steps: set[tuple[Point, Point]] = set()
    for start in (point for point, beside in around.items() if len(beside) != 2):
        walked.add(start)
        if not around[start]:
            yield [start]
        for following in around[start]:
            if (start, following) not in steps:
                path = _walk(around, start, following)
                steps |= {(path[0], path[1]), (path[-1], path[-2])}
                walked.update(path)
                yield path
    for start in around:  # what is left are loops
        if start not in walked:
            path = _walk(around, start, around[start][0])
            walked.update(path)
            yield path


def _walk(around: dict[Point, Path], start: Point, following: Point) -> Path:
    """From `start` to the next end or junction, or once around."""
    path = [start, following]
    while path[-1] != start and len(around[path[-1]]) == 2:
        path.append(next(point for point in around[path[-1]] if point != path[-2]))
    return path
