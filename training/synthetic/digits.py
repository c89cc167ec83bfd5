"""The ten digits as people of many countries write them, in variants that have names.

A variant is a function of (draws, hand) that gives a glyph; its name begins with its digit.
"""

from collections.abc import Callable

from training.data import Array
from training.synthetic.draws import Draws
from training.synthetic.one_and_seven import one, seven
from training.synthetic.strokes import Glyph, Hand, Point, arc, joined, line, near, through

Variant = Callable[[Draws, Hand], Glyph]


# 0


def _oval(d: Draws, width: float, sweep: float, start: float = -90) -> Glyph:
    return [arc((0, 0.5), (width, 0.5), start + d(-35, 35), -sweep if d.chance(0.85) else sweep)]


def zero_slashed(d: Draws, hand: Hand) -> Glyph:
    width, reach = d(0.28, 0.42), d(0.75, 1.15)
    x, y = reach * width * 0.62, reach * 0.4
    return [*_oval(d, width, d(355, 380)), line(*near(d, (-x, 0.5 + y), (x, 0.5 - y)))]


def zero_open(d: Draws, hand: Hand) -> Glyph:
    return [arc((0, 0.5), (d(0.28, 0.46), 0.5), d(-130, -50), -d(322, 345))]


def zero_curled(d: Draws, hand: Hand) -> Glyph:
    """The end of the stroke curls into the oval."""
    width, curl = d(0.28, 0.46), d(0.06, 0.16)
    oval = arc((0, 0.5), (width, 0.5), -80, -345)
    return [joined(oval, through((0.1 * width, 0.0), (-0.3 * width, curl * 0.6), (-d(-0.1, 0.4) * width, 2 * curl)))]


# 2


def _two_head(d: Draws, foot: Point) -> list[Point]:
    """From the tip to a point shortly before the foot."""
    width, drop, belly = d(0.4, 0.68), d(0.06, 0.4), d(0.2, 0.36)
    turn = (width * d(0.65, 0.85), belly + d(0.18, 0.28))
    last = ((turn[0] + foot[0]) * 0.5 + d(-0.05, 0.04), (turn[1] + foot[1]) * 0.5 + 0.05)
    tip = [(d(-0.06, 0.1), drop), (width * 0.18, drop * 0.35), (width * 0.55, 0.0), (width * 0.92, 0.09)]
    return near(d, *tip, (width, belly), turn, last)


def two_plain(d: Draws, hand: Hand) -> Glyph:
    foot, wave, end = (0.0, d(0.9, 1.0)), d(-0.07, 0.07), (d(0.45, 1.0), d(0.92, 1.12))
    return [joined(through(*_two_head(d, foot), foot), through(foot, *near(d, (end[0] / 2, 0.98 - wave)), end))]


def two_looped(d: Draws, hand: Hand) -> Glyph:
    size, width = d(0.09, 0.28), d(0.5, 1.0)
    loop = near(d, (size * 0.4, 1.0), (-size * 0.7, 0.97), (-size * 0.5, 1 - size), (size * 0.9, 1 - size * 0.75))
    return [through(*_two_head(d, (size, 0.9)), *loop, (width * 0.6, 0.98), (width, d(0.82, 1.14)))]


def two_straight(d: Draws, hand: Hand) -> Glyph:
    foot = (0.0, 1.0)
    return [joined(through(*_two_head(d, foot), foot), line(foot, (d(0.45, 1.0), 1.0 + d(-0.1, 0.1))))]


def two_angular(d: Draws, hand: Hand) -> Glyph:
    """Like a Z whose upper right corner is round."""
    width = d(0.5, 0.72)
    corner = (width * 0.97, d(0.14, 0.24))
    head = near(d, (0.0, d(0.04, 0.22)), (width * 0.24, 0.03), (width * 0.7, 0.0), (width, 0.07))
    return [joined(through(*head, corner), line(corner, *near(d, (0.0, 1.0), (d(0.5, 0.95), d(0.95, 1.06)))))]


# 3


def _three_bowl(d: Draws, waist: Point) -> Array:
    width, middle = d(0.46, 0.68), (waist[1] + 1) / 2
    top = ((waist[0] + width) / 2 + 0.04, waist[1] + 0.07)
    end = (d(-0.14, 0.08), d(0.78, 0.98))
    return through(waist, *near(d, top, (width, middle), (width * 0.72, 0.95), (width * 0.3, 1.0), end))


def three_round(d: Draws, hand: Hand) -> Glyph:
    width, waist = d(0.42, 0.6), (d(0.12, 0.4), d(0.36, 0.54))
    tip = (d(-0.06, 0.08), d(0.06, 0.22))
    head = near(d, tip, (width * 0.45, 0.0), (width * 0.95, 0.08), (width, waist[1] * 0.6))
    return [joined(through(*head, waist), _three_bowl(d, waist))]


def three_flat(d: Draws, hand: Hand) -> Glyph:
    waist, width = (d(0.14, 0.32), d(0.34, 0.48)), d(0.42, 0.62)
    return [joined(line(*near(d, (0.0, d(-0.03, 0.08)), (width, 0.0)), waist), _three_bowl(d, waist))]


def three_looped(d: Draws, hand: Hand) -> Glyph:
    size, waist, width = d(0.05, 0.1), d(0.42, 0.52), d(0.42, 0.56)
    head = [(0.0, d(0.06, 0.2)), (width * 0.5, 0.0), (width, 0.1), (width * 0.92, 0.32), (0.26, waist + size * 0.5)]
    loop = [(0.12, waist + size * 0.4), (0.12, waist - size), (0.26, waist - size * 0.6), (0.46, waist + 0.08)]
    bowl = [(d(0.52, 0.66), 0.74), (0.42, 0.95), (0.18, 1.0), (d(-0.12, 0.02), d(0.8, 0.95))]
    return [through(*near(d, *head, *loop, *bowl))]


# 4


def _four(d: Draws, closed: bool, reach: float, high: bool = False) -> Glyph:
    """`high`: the bar is nearer to the top, and all of it a pennant."""
    bar = d(0.42, 0.57) if high else d(0.58 if closed else 0.44, 0.72)
    stem = d(0.34, 0.52) if high else d(0.38, 0.62)
    right, foot = (stem + reach, bar + d(-0.12, 0.05)), (stem - d(-0.06, 0.1), 1.0)
    if closed:
        return [joined(line(*near(d, right, (0.0, bar))), line((stem - d(0.0, 0.05), 0.0), foot))]
    x, top = d(-0.04, 0.26), d(0.0, 0.16)
    down = [(x, top), *near(d, (x * 0.45, (top + bar) / 2))]
    if d.chance(0.4):  # in one bow
        arm = through(*down, (0.03, bar * 0.9), (stem * 0.3, bar + 0.03), right)
    else:
        arm = joined(through(*down, (0.0, bar)), line((0.0, bar), right))
    return [arm, line((stem + d(-0.02, 0.08), d(0.0, 0.28)), foot)]


# 5


def _five_bowl(d: Draws, neck: Point) -> Array:
    width, top = d(0.4, 0.66), neck[1] - d(0.0, 0.06)
    bowl = [(width * 0.55, top), (width, (top + 1) / 2 - 0.06), (width * 0.96, 0.78), (width * 0.6, 0.97)]
    return through(neck, *near(d, *bowl, (width * 0.15, 1.0), (d(-0.18, 0.06), d(0.74, 0.98))))


def _five_flag(d: Draws) -> Point:
    return d(0.4, 1.0), d(-0.24, 0.06)


def five_in_one(d: Draws, hand: Hand) -> Glyph:
    corner = (d(0.04, 0.2), 0.0)
    neck = (corner[0] - d(-0.02, 0.14), d(0.32, 0.52))
    return [joined(line(_five_flag(d), corner, neck), _five_bowl(d, neck))]


def five_detached(d: Draws, hand: Hand) -> Glyph:
    """The flag is a stroke of its own, often beside the stem rather than on it."""
    corner = (d(0.04, 0.2), 0.0)
    neck = (corner[0] - d(-0.02, 0.14), d(0.32, 0.52))
    tip, lift, gap = _five_flag(d), d(-0.06, 0.05), d(-0.03, 0.08)
    flag = line((corner[0] + gap, lift), (tip[0] + gap, tip[1] + lift))
    return [joined(line(corner, neck), _five_bowl(d, neck)), flag]


def five_round(d: Draws, hand: Hand) -> Glyph:
    """Without a corner at the neck, as in fast writing."""
    corner, neck, width = (d(0.06, 0.2), 0.0), d(0.34, 0.46), d(0.36, 0.58)
    bowl = [(0.2, neck + 0.02), (width * 0.92, neck + 0.12), (width, 0.76), (width * 0.6, 0.97), (0.06, 0.99)]
    low = (d(-0.18, 0.0), d(0.86, 0.96))
    return [joined(line(_five_flag(d), corner), through(corner, (0.06, neck * 0.6), *near(d, *bowl), low))]


def five_angular(d: Draws, hand: Hand) -> Glyph:
    corner, middle, low = (d(0.02, 0.1), 0.0), d(0.4, 0.5), d(0.5, 0.62)
    bowl = near(d, (0.0, middle), (low - 0.04, middle - 0.02), (low, 1.0), (-0.06, 1.0))
    return [line((d(0.45, 0.7), d(-0.05, 0.04)), corner, *bowl)]


# 6


def _six(d: Draws, top: Point, bend: float, bowl: float) -> Glyph:
    """`bend`: how far the back bows to the left; `bowl`: its height."""
    width, centre = bowl * d(0.46, 0.72), 1 - bowl / 2
    left = (-0.02, centre)
    back = [top, ((top[0] + left[0]) / 2 - bend, 0.12 + 0.38 * (1 - bowl)), left]
    end, lid = width * d(-0.15, 0.6), d(0.82, 1.0)
    ring = [(width * 0.45, 0.985), (width * 1.3, 0.97), (2 * width, centre + bowl * d(-0.1, 0.12))]
    ring += [(width * 1.3, 1 - bowl * lid), (width * 0.5, 1 - bowl * lid * 0.92), (end, centre + bowl * d(-0.2, 0.25))]
    return [through(*back, *near(d, *ring))]


def six_curled(d: Draws, hand: Hand) -> Glyph:
    bowl, reach = d(0.4, 0.56), d(0.4, 0.52)
    six = _six(d, (reach * 0.7, 0.0), bend=d(0.06, 0.12), bowl=bowl)[0]
    return [joined(through((reach, d(0.08, 0.16)), (reach * 0.9, 0.02), (reach * 0.7, 0.0)), six)]


# 8


def _eight_sizes(d: Draws) -> tuple[float, float, float]:
    """Height of the waist, half the widths of the upper and the lower bowl."""
    return d(0.38, 0.58), d(0.18, 0.34), d(0.2, 0.38)


def eight_bowls(d: Draws, hand: Hand) -> Glyph:
    waist, upper, lower = _eight_sizes(d)
    return [
        arc((d(-0.07, 0.07), waist / 2), (upper, waist / 2), d(-120, -60), -d(352, 385)),
        arc((0, (1 + waist) / 2), (lower, (1 - waist) / 2), d(-110, -70), d(352, 385)),
    ]


def _eight(d: Draws, gap: float) -> Glyph:
    waist, upper, lower = _eight_sizes(d)
    shift = d(-0.06, 0.14)
    down = [
        (upper * (0.5 + 2 * gap) + shift, 0.05 + gap * 0.3),
        (shift - upper * 0.3, 0.0),
        (shift - upper, waist * 0.46),
    ]
    low = [(0.0, waist), (lower, (1 + waist) / 2), (lower * 0.4, 0.99), (-lower * 0.5, 0.98), (-lower, (1 + waist) / 2)]
    up = [(0.0, waist), (upper + shift, waist * 0.5), (upper * 0.6 + shift, 0.05 + gap * 0.2)]
    return [through(*near(d, *down, *low, *up))]


def eight_open(d: Draws, hand: Hand) -> Glyph:
    """The last stroke stops short of the first, or beside it."""
    glyph = _eight(d, gap=d(0.0, 0.3))[0]
    return [glyph[: len(glyph) - int(d(0, 8))]]


# 9


def _nine(d: Draws, bowl: float, *foot: Point) -> Glyph:
    """`foot`: where the leg goes, from its top."""
    width, y = bowl * d(0.42, 0.66), bowl / 2
    right = 2 * width + d(-0.04, 0.06)
    ring = [(right + d(-0.06, 0.08), y * d(0.2, 0.8)), (right - width * 0.7, 0.0), (right - 1.5 * width, 0.04 * bowl)]
    ring += [(right - 2 * width, y), (right - 1.5 * width, bowl * 0.95), (right - width * 0.7, bowl)]
    head = through(*near(d, *ring), (right, y * d(0.6, 1.1)))
    return [joined(head, through((right, y), *((right + x, y + (1 - y) * down) for x, down in foot)))]


VARIANTS: dict[str, Variant] = {
    "0 round": lambda d, hand: _oval(d, d(0.28, 0.6), d(352, 395)),
    "0 narrow": lambda d, hand: _oval(d, d(0.17, 0.28), d(352, 380)),
    "0 slashed": zero_slashed,
    "0 open": zero_open,
    "0 curled": zero_curled,
    "1 bare": lambda d, hand: one(d, hand, flag=False, foot=False),
    "1 flagged": lambda d, hand: one(d, hand, flag=True, foot=False),
    "1 footed": lambda d, hand: one(d, hand, flag=False, foot=True),
    "1 flagged and footed": lambda d, hand: one(d, hand, flag=True, foot=True),
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
    "4 like a pennant": lambda d, hand: _four(d, closed=True, reach=d(0.0, 0.04), high=True),
    "5 in one": five_in_one,
    "5 detached": five_detached,
    "5 round": five_round,
    "5 angular": five_angular,
    "6 straight": lambda d, hand: _six(d, (d(0.05, 0.5), 0.0), bend=d(-0.01, 0.06), bowl=d(0.4, 0.56)),
    "6 curled": six_curled,
    "6 small bowl": lambda d, hand: _six(d, (d(0.1, 0.45), 0.0), bend=d(0.02, 0.12), bowl=d(0.3, 0.42)),
    "6 large bowl": lambda d, hand: _six(d, (d(0.2, 0.55), 0.0), bend=d(0.04, 0.14), bowl=d(0.52, 0.6)),
    "7 plain": lambda d, hand: seven(d, hand, bow=d(-0.05, 0.04)),
    "7 barred": lambda d, hand: seven(d, hand, bow=d(-0.01, 0.06), bar=True),
    "7 with a serif": lambda d, hand: seven(d, hand, bow=d(0.0, 0.05), serif=True),
    "7 curved": lambda d, hand: seven(d, hand, bow=d(0.04, 0.18), soft=d.chance(0.5)),
    "7 with a serif, barred": lambda d, hand: seven(d, hand, bow=d(0.0, 0.08), serif=True, bar=True),
    "8 of two bowls": eight_bowls,
    "8 crossed": lambda d, hand: _eight(d, gap=d(-0.1, 0.05)),
    "8 open": eight_open,
    "9 straight": lambda d, hand: _nine(d, d(0.36, 0.6), (0.0, 0.5), (d(-0.1, 0.08), 1.0)),
    "9 slanted": lambda d, hand: _nine(d, d(0.35, 0.58), (-0.05, 0.45), (-d(0.1, 0.4), 1.0)),
    "9 curled": lambda d, hand: _nine(
        d, d(0.4, 0.54), (0.02, 0.45), (-0.04, 0.85), (-0.22, 1.0), (-d(0.38, 0.52), d(0.82, 0.95))
    ),
}
