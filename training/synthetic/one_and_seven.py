"""1 and 7, kept apart as readers do it: the flag of a 1 falls from the top of its stem, a flat one is short, and the
bar of a 7 is long and level. Angles and lengths are those on the page."""

from training.synthetic.draws import Draws
from training.synthetic.strokes import Glyph, Hand, joined, line, near, through


def one(d: Draws, hand: Hand, flag: bool, foot: bool) -> Glyph:
    """A stem, bare or with a flag, a level foot or both. The flag falls from the top of the stem to the left, by 20 to
    65 degrees below level and 0.15 to 0.6 of the height long."""
    top, lean, bow = (0.0, 0.0), d(-0.02, 0.02), d(-0.03, 0.03)
    stem = through(top, (lean / 2 + bow, 0.5), (lean, 1.0))
    strokes = [stem]
    if flag:
        degrees = d(20, 65)
        length = d(0.15, 0.6 - (0.2 if foot else 0.38) * max(0.0, (45 - degrees) / 25))
        x, y = hand.aimed(length, 180 - degrees)
        sag = d(-0.12, 0.12)
        strokes = [joined(through((x, y), (x / 2 + sag * y, y / 2 - sag * x), top), stem)]
    if foot:
        left, right, tilt = d(0.2, 0.45), d(0.15, 0.45), d(-0.05, 0.05)
        strokes.append(line(*near(d, (lean - left, 1 + tilt), (lean + right, 1 - tilt))))
    return strokes


def seven(d: Draws, hand: Hand, bow: float = 0.0, serif: bool = False, bar: bool = False, soft: bool = False) -> Glyph:
    """A bar, level within 10 degrees and 0.5 to 0.9 of the height long, and a stem.

    `bow`: how far the stem bends to the left; `serif`: a short stroke down at the bar's left end; `bar`: a stroke
    through the stem; `soft`: without a corner between the two.
    """
    width, drop = hand.aimed(d(0.5, 0.9), -d(-10, 8))
    tip, foot, corner = (0.0, -drop), (width * d(-0.05, 0.75), 1.0), (width, 0.0)
    head = through(tip, (width / 2, d(-0.03, 0.05) - drop / 2), corner)
    stem = through(corner, ((width + foot[0]) / 2 - bow, 0.5 - bow / 2), foot)
    if soft:
        whole = through(*(head[i].tolist() for i in (0, 8)), (width * 0.97, 0.08), *(stem[i].tolist() for i in (8, 16)))
    else:
        whole = joined(head, stem)
    if serif:
        whole = joined(line((d(-0.03, 0.05), tip[1] + d(0.1, 0.16 if bar else 0.24))), whole)
    if not bar:
        return [whole]
    reach, y, tilt = d(0.15, 0.4), d(0.42, 0.6), d(-0.07, 0.04)
    x = width + (foot[0] - width) * y - bow * 0.9
    return [whole, line(*near(d, (x - reach, y - tilt), (x + reach, y + tilt)))]
