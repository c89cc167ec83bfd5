"""The ten digits as people of many countries write them, in variants that have names.

A variant is a function of (draws, hand) that gives a glyph; its name begins with its digit. A flagged 1 and a 7 are
kept apart as readers do it: the flag of a 1 falls from the top of the stem by at least 20 degrees, the flatter the
shorter, and the bar of a 7 is long and level within 10 degrees.
"""

from collections.abc import Callable

from training.synthetic.draws import Draws
from training.synthetic.strokes import Glyph, Hand, Point, arc, joined, line, through

Variant = Callable[[Draws, Hand], Glyph]


def near(d: Draws, *points: Point) -> list[Point]:
    """The points, each moved a little: no two digits of a hand are equal."""
    return [(x + d.rng.normal(0, 0.018), y + d.rng.normal(0, 0.018)) for x, y in points]


# 0


def _oval(d: Draws, width: float, sweep: float, start: float = -90) -> Glyph:
    return [arc((0, 0.5), (width, 0.5), start + d(-35, 35), -sweep if d.chance(0.85) else sweep)]


def zero_slashed(d: Draws, hand: Hand) -> Glyph:
    width, reach = d(0.28, 0.42), d(0.75, 1.15)
    x, y = reach * width * 0.62, reach * 0.4
    return [*_oval(d, width, d(355, 380)), line(*near(d, (-x, 0.5 + y), (x, 0.5 - y)))]


def zero_open(d: Draws, hand: Hand) -> Glyph:
    return [arc((0, 0.5), (d(0.3, 0.44), 0.5), d(-105, -60), -d(325, 345))]


def zero_curled(d: Draws, hand: Hand) -> Glyph:
    """The end of the stroke curls into the oval."""
    width, curl = d(0.3, 0.44), d(0.06, 0.16)
    oval = arc((0, 0.5), (width, 0.5), -80, -345)
    return [joined(oval, through((0.1 * width, 0.0), (-0.3 * width, curl * 0.6), (-d(-0.1, 0.4) * width, 2 * curl)))]


# 1


def _one(d: Draws, hand: Hand, flag: bool, foot: bool) -> Glyph:
    top, lean, bow = (0.0, 0.0), d(-0.02, 0.02), d(-0.03, 0.03)
    stem = through(top, (lean / 2 + bow, 0.5), (lean, 1.0))
    strokes = [stem]
    if flag:
        degrees = d(20, 65)
        length = d(0.15, 0.6 - (0.3 if foot else 0.38) * max(0.0, (45 - degrees) / 25))
        x, y = hand.aimed(length, 180 - degrees)
        sag = d(-0.12, 0.12)
        strokes = [joined(through((x, y), (x / 2 + sag * y, y / 2 - sag * x), top), stem)]
    if foot:
        left, right, tilt = d(0.2, 0.45), d(0.15, 0.45), d(-0.05, 0.05)
        strokes.append(line(*near(d, (lean - left, 1 + tilt), (lean + right, 1 - tilt))))
    return strokes


# 2


def _two_head(d: Draws) -> list[Point]:
    drop = d(0.1, 0.28)
    return near(d, (0.0, drop), (0.1, 0.08), (0.32, 0.0), (0.56, 0.09), (0.6, 0.28), (0.46, 0.52))


def two_plain(d: Draws, hand: Hand) -> Glyph:
    wave, width = d(-0.05, 0.05), d(0.5, 0.95)
    body = through(*_two_head(d), *near(d, (0.22, 0.79)), (0.0, 1.0))
    return [joined(body, through((0.0, 1.0), *near(d, (width / 2, 0.98 - wave)), (width, 0.99 + wave / 2)))]


def two_looped(d: Draws, hand: Hand) -> Glyph:
    size, width = d(0.08, 0.16), d(0.6, 0.9)
    loop = [(0.26, 0.8), (size * 0.6, 0.98), (-size * 0.4, 0.98), (-0.02, 1 - size * 1.5)]
    foot = near(d, *loop, (size * 1.2, 0.93 - size / 2))
    return [through(*_two_head(d), *foot, (width * 0.6, 0.98), (width, 0.94 - d(0, 0.1)))]


def two_straight(d: Draws, hand: Hand) -> Glyph:
    body = through(*_two_head(d), *near(d, (0.2, 0.8)), (0.0, 1.0))
    return [joined(body, line((0.0, 1.0), (d(0.5, 0.95), 1.0 + d(-0.06, 0.06))))]


def two_angular(d: Draws, hand: Hand) -> Glyph:
    """Like a Z whose upper right corner is round."""
    head = through(*near(d, (0.0, 0.16), (0.14, 0.03), (0.42, 0.0), (0.62, 0.06)), (0.6, 0.2))
    return [joined(head, line(*near(d, (0.6, 0.2), (0.0, 1.0), (d(0.6, 0.8), 1.0))))]


# 3


def three_round(d: Draws, hand: Hand) -> Glyph:
    waist, pinch = d(0.4, 0.52), d(0.2, 0.38)
    head = through(*near(d, (0.0, 0.14), (0.22, 0.0), (0.48, 0.08), (0.5, 0.28)), (pinch, waist))
    bowl = [(0.48, waist + 0.1), (0.58, 0.72), (0.42, 0.95), (0.18, 1.0), (-0.04, d(0.8, 0.92))]
    return [joined(head, through((pinch, waist), *near(d, *bowl)))]


def three_flat(d: Draws, hand: Hand) -> Glyph:
    waist, width = d(0.36, 0.46), d(0.48, 0.6)
    head = line(*near(d, (0.0, 0.02), (width, 0.0), (d(0.18, 0.3), waist)))
    bowl = [(0.44, waist + 0.04), (0.58, 0.66), (0.46, 0.93), (0.2, 1.0), (-0.02, d(0.84, 0.94))]
    return [joined(head, through(*head[-1:].tolist(), *near(d, *bowl)))]


def three_looped(d: Draws, hand: Hand) -> Glyph:
    size, waist = d(0.05, 0.1), d(0.42, 0.52)
    head = [(0.0, 0.14), (0.24, 0.0), (0.5, 0.1), (0.46, 0.32), (0.26, waist + size * 0.5)]
    loop = [(0.12, waist + size * 0.4), (0.12, waist - size), (0.26, waist - size * 0.6), (0.46, waist + 0.08)]
    return [through(*near(d, *head, *loop, (0.58, 0.74), (0.42, 0.95), (0.18, 1.0), (-0.04, d(0.8, 0.92))))]


# 4


def _four(d: Draws, closed: bool, reach: float) -> Glyph:
    bar, stem = d(0.58 if closed else 0.52, 0.72), d(0.42, 0.6)
    tilt = d(-0.05, 0.03)
    right = (stem + reach, bar + tilt)
    if closed:
        return [joined(line(*near(d, right, (0.0, bar))), line((stem, 0.0), (stem - d(-0.02, 0.06), 1.0)))]
    x, top = d(0.02, 0.24), d(0.0, 0.14)
    angle = through((x, top), *near(d, (x * 0.45, (top + bar) / 2)), (0.0, bar))
    start = d(0.0, 0.25)
    return [joined(angle, line((0.0, bar), right)), line((stem, start), (stem - d(-0.04, 0.08), 1.0))]


# 5


def _five_bowl(d: Draws, start: Point) -> tuple[Point, list[Point]]:
    neck = (start[0] - d(0.0, 0.08), d(0.36, 0.46))
    low = d(0.84, 0.94)
    return neck, near(d, (0.3, 0.36), (0.54, 0.5), (0.56, 0.76), (0.36, 0.97), (0.12, 1.0), (-0.08, low))


def five_in_one(d: Draws, hand: Hand) -> Glyph:
    corner = (d(0.04, 0.12), 0.0)
    neck, bowl = _five_bowl(d, corner)
    return [joined(line((d(0.45, 0.8), d(-0.08, 0.05)), corner, neck), through(neck, *bowl))]


def five_detached(d: Draws, hand: Hand) -> Glyph:
    """The flag is a stroke of its own, often beside the stem rather than on it."""
    corner = (d(0.04, 0.12), 0.0)
    neck, bowl = _five_bowl(d, corner)
    lift, gap = d(-0.06, 0.05), d(-0.03, 0.08)
    flag = line((corner[0] + gap, lift), (d(0.5, 0.85), lift + d(-0.08, 0.05)))
    return [joined(line(corner, neck), through(neck, *bowl)), flag]


def five_round(d: Draws, hand: Hand) -> Glyph:
    """Without a corner at the neck, as in fast writing."""
    neck = d(0.36, 0.44)
    bowl = [(0.18, neck + 0.02), (0.46, neck + 0.12), (0.5, 0.76), (0.3, 0.97), (0.06, 0.99), (-0.1, d(0.86, 0.94))]
    head = line((d(0.5, 0.7), d(-0.05, 0.04)), (0.1, 0.0))
    return [joined(head, through((0.1, 0.0), (0.05, neck * 0.6), *near(d, *bowl)))]


def five_angular(d: Draws, hand: Hand) -> Glyph:
    corner, middle, low = (d(0.02, 0.1), 0.0), d(0.4, 0.5), d(0.5, 0.62)
    bowl = near(d, (0.0, middle), (low - 0.04, middle - 0.02), (low, 1.0), (-0.06, 1.0))
    return [line((d(0.45, 0.7), d(-0.05, 0.04)), corner, *bowl)]


# 6


def _six(d: Draws, top: Point, bend: float, bowl: float) -> Glyph:
    """`bend`: how far the back bows to the left; `bowl`: its height."""
    width, centre = d(0.24, 0.33), 1 - bowl / 2
    left = (-0.02, centre)
    back = [top, ((top[0] + left[0]) / 2 - bend, 0.12 + 0.38 * (1 - bowl)), left]
    end = d(-0.04, 0.06)
    ring = [
        (width * 0.45, 0.985),
        (width * 1.3, 0.97),
        (2 * width, centre + bowl * 0.06),
        (width * 1.3, 1 - bowl),
        (width * 0.5, 1 - bowl * 0.92),
        (end, centre + bowl * d(-0.2, 0.1)),
    ]
    return [through(*back, *near(d, *ring))]


def six_curled(d: Draws, hand: Hand) -> Glyph:
    bowl, reach = d(0.4, 0.56), d(0.4, 0.52)
    six = _six(d, (reach * 0.7, 0.0), bend=d(0.06, 0.12), bowl=bowl)[0]
    return [joined(through((reach, d(0.08, 0.16)), (reach * 0.9, 0.02), (reach * 0.7, 0.0)), six)]


# 7


def _seven(d: Draws, hand: Hand, bow: float = 0.0, serif: bool = False, bar: bool = False) -> Glyph:
    width, drop = hand.aimed(d(0.5, 0.8), -d(-10, 8))
    left, foot = -drop, d(0.05, 0.5)
    head: list[Point] = [(0.0, left), (width, 0.0)]
    if serif:
        head = [(d(-0.03, 0.05), left + d(0.1, 0.16 if bar else 0.24)), *head]
    low = (width * foot, 1.0)
    middle = ((width + low[0]) / 2, 0.5)
    strokes = [joined(line(*head), through((width, 0.0), (middle[0] - bow, middle[1] - bow / 2), low))]
    if bar:
        reach, y, tilt = d(0.15, 0.4), d(0.46, 0.6), d(-0.07, 0.04)
        x = width + (low[0] - width) * y - bow * 0.9
        strokes.append(line(*near(d, (x - reach, y - tilt), (x + reach, y + tilt))))
    return strokes


# 8


def eight_bowls(d: Draws, hand: Hand) -> Glyph:
    waist, upper, lower = d(0.4, 0.5), d(0.2, 0.3), d(0.26, 0.36)
    shift = d(-0.04, 0.04)
    return [
        arc((shift, waist / 2), (upper, waist / 2), d(-120, -60), -d(352, 385)),
        arc((0, (1 + waist) / 2), (lower, (1 - waist) / 2), d(-110, -70), d(352, 385)),
    ]


def _eight(d: Draws, gap: float) -> Glyph:
    waist, upper, lower = d(0.42, 0.52), d(0.2, 0.3), d(0.24, 0.36)
    down = [(upper * (0.35 + gap), 0.02 + gap * 0.2), (-upper * 0.5, 0.02), (-upper, waist * 0.46)]
    low = [(0.0, waist), (lower, (1 + waist) / 2), (lower * 0.5, 0.98), (-lower * 0.5, 0.98), (-lower, (1 + waist) / 2)]
    up = [(0.0, waist), (upper, waist * 0.5), (upper * (0.5 - gap * 0.2), 0.03 + gap * 0.3)]
    return [through(*near(d, *down, *low, *up))]


def eight_open(d: Draws, hand: Hand) -> Glyph:
    """The last stroke stops short of the first, or beside it."""
    glyph = _eight(d, gap=d(0.05, 0.25))[0]
    return [glyph[: len(glyph) - int(d(3, 9))]]


# 9


def _nine(d: Draws, bowl: float, *foot: Point) -> Glyph:
    """`foot`: where the leg goes, from its top."""
    width, y = bowl * d(0.42, 0.58), bowl / 2
    right = 2 * width + d(-0.02, 0.06)
    ring = [(right, y * d(0.5, 0.8)), (right - width * 0.7, 0.0), (right - 1.5 * width, 0.04 * bowl)]
    ring += [(right - 2 * width, y), (right - 1.5 * width, bowl * 0.95), (right - width * 0.7, bowl)]
    head = through(*near(d, *ring), (right, y * d(0.7, 1.0)))
    return [joined(head, through((right, y), *((right + x, y + (1 - y) * down) for x, down in foot)))]


VARIANTS: dict[str, Variant] = {
    "0 round": lambda d, hand: _oval(d, d(0.28, 0.43), d(352, 395)),
    "0 narrow": lambda d, hand: _oval(d, d(0.17, 0.28), d(352, 380)),
    "0 slashed": zero_slashed,
    "0 open": zero_open,
    "0 curled": zero_curled,
    "1 bare": lambda d, hand: _one(d, hand, flag=False, foot=False),
    "1 flagged": lambda d, hand: _one(d, hand, flag=True, foot=False),
    "1 footed": lambda d, hand: _one(d, hand, flag=False, foot=True),
    "1 flagged and footed": lambda d, hand: _one(d, hand, flag=True, foot=True),
    "2 plain": two_plain,
    "2 looped": two_looped,
    "2 straight": two_straight,
    "2 angular": two_angular,
    "3 round": three_round,
    "3 flat": three_flat,
    "3 looped": three_looped,
    "4 open, crossing": lambda d, hand: _four(d, closed=False, reach=d(0.12, 0.32)),
    "4 open, touching": lambda d, hand: _four(d, closed=False, reach=d(0.0, 0.06)),
    "4 closed, crossing": lambda d, hand: _four(d, closed=True, reach=d(0.1, 0.28)),
    "4 closed, touching": lambda d, hand: _four(d, closed=True, reach=d(0.0, 0.05)),
    "5 in one": five_in_one,
    "5 detached": five_detached,
    "5 round": five_round,
    "5 angular": five_angular,
    "6 straight": lambda d, hand: _six(d, (d(0.25, 0.5), 0.0), bend=d(-0.01, 0.05), bowl=d(0.42, 0.56)),
    "6 curled": six_curled,
    "6 small bowl": lambda d, hand: _six(d, (d(0.2, 0.45), 0.0), bend=d(0.02, 0.1), bowl=d(0.32, 0.42)),
    "6 large bowl": lambda d, hand: _six(d, (d(0.3, 0.55), 0.0), bend=d(0.04, 0.12), bowl=d(0.53, 0.58)),
    "7 plain": lambda d, hand: _seven(d, hand, bow=d(-0.01, 0.03)),
    "7 barred": lambda d, hand: _seven(d, hand, bow=d(-0.01, 0.06), bar=True),
    "7 with a serif": lambda d, hand: _seven(d, hand, bow=d(0.0, 0.05), serif=True),
    "7 curved": lambda d, hand: _seven(d, hand, bow=d(0.05, 0.14)),
    "7 with a serif, barred": lambda d, hand: _seven(d, hand, bow=d(0.0, 0.08), serif=True, bar=True),
    "8 of two bowls": eight_bowls,
    "8 crossed": lambda d, hand: _eight(d, gap=d(-0.1, 0.05)),
    "8 open": eight_open,
    "9 straight": lambda d, hand: _nine(d, d(0.4, 0.58), (0.0, 0.5), (d(-0.06, 0.04), 1.0)),
    "9 slanted": lambda d, hand: _nine(d, d(0.38, 0.55), (-0.05, 0.45), (-d(0.18, 0.36), 1.0)),
    "9 curled": lambda d, hand: _nine(
        d, d(0.4, 0.54), (0.02, 0.45), (-0.04, 0.85), (-0.22, 1.0), (-d(0.38, 0.52), d(0.82, 0.95))
    ),
}
