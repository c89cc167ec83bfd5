"""What a trial says is seen on the map itself: a frame and a note where its method is not to be believed."""

import io
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from server.render import RENDERERS, alt_text
from server.render.heatmap import heatmap
from server.render.legend import FRAME, FRAME_WIDTH, LETTER, MARGIN, SMALL, Legend, legend
from server.types import Array, Explanation, TrackRecord
from tests.render.test_render import SVG, explain, placed, spot

GOOD = TrackRecord({"mark": 60, "decoy": 58}, 60, 0.78, 0.27)
MISSES = replace(GOOD, named={"mark": 60, "decoy": 3})
LOSES = replace(GOOD, yardstick=0.27)
BOTH = replace(MISSES, named={"mark": 999_999, "decoy": 3}, pictures=1_000_000, yardstick=-1.0)
NOTES = {
    "misses": (MISSES, "named a known cause in 63 of 120"),
    "loses": (LOSES, "loses to the ink alone"),
    "both": (BOTH, "named a known cause in 1000002 of 2000000 · loses to the ink alone"),
}


def recorded(trial: TrackRecord | None, **more: Any) -> Explanation:
    return replace(explain(spot(), **more), trial=trial)


def laid_out(explanation: Explanation, believed: bool = False) -> Legend:
    return legend(explanation, heatmap(explanation), False, believed=believed)


def drawn(explanation: Explanation) -> Array:
    with Image.open(io.BytesIO(RENDERERS["image/png"](explanation))) as image:
        return np.asarray(image.convert("RGB"))


def greys(picture: Array) -> int:
    """Pixels in the colour of the frame."""
    return int((picture == np.frombuffer(bytes.fromhex(FRAME[1:]), np.uint8)).all(axis=2).sum())


@pytest.mark.parametrize("kind", NOTES)
@pytest.mark.parametrize("size", [(28, 28), (10, 30), (30, 6), (200, 512)], ids=str)
def test_a_map_not_to_be_believed_has_a_frame_and_a_note(kind: str, size: tuple[int, int]) -> None:
    trial, note = NOTES[kind]
    found = recorded(trial, placement=placed(np.full((*size, 3), 255, np.uint8)))
    plan, plain = laid_out(found), laid_out(replace(found, trial=None))
    assert (plan.width, plan.height, plan.left, plan.top) == (plain.width, plain.height + 18, plain.left, plain.top)
    written = plan.texts[-1]
    assert (note.startswith(written.words.rstrip("…")) and len(written.words) > 30) or written.words == note
    assert written.x + LETTER * SMALL * len(written.words) <= plan.width - MARGIN + SMALL
    assert written.y < plan.height - MARGIN / 2
    height, width = heatmap(found).backdrop.grey.shape
    picture = drawn(found)
    around = np.s_[plan.top - 1 - FRAME_WIDTH : plan.top + height + 1 + FRAME_WIDTH]
    sides = np.s_[plan.left - 1 - FRAME_WIDTH : plan.left + width + 1 + FRAME_WIDTH]
    assert greys(picture[around, sides]) >= 2 * FRAME_WIDTH * (height + width + 4 + 2 * FRAME_WIDTH)
    inside = np.s_[plan.top : plan.top + height, plan.left : plan.left + width]
    assert (picture[inside] == drawn(replace(found, trial=None))[inside]).all()


@pytest.mark.parametrize("kind", NOTES)
def test_the_svg_has_them_too(kind: str) -> None:
    trial, note = NOTES[kind]
    tree = ElementTree.fromstring(RENDERERS["image/svg+xml"](recorded(trial)))
    assert note.startswith(str(tree.findall(f"{SVG}text")[-1].text).rstrip("…"))
    frames = [one for one in tree.findall(f"{SVG}rect") if one.get("stroke") == FRAME]
    assert [one.get("stroke-width") for one in frames] == [str(FRAME_WIDTH)]
    left, wide = (float(frames[0].attrib[name]) for name in ("x", "width"))
    assert left - FRAME_WIDTH / 2 > 0 and left + wide + FRAME_WIDTH / 2 < float(tree.attrib["width"])


@pytest.mark.parametrize("trial", [GOOD, None])
def test_other_maps_have_neither(trial: TrackRecord | None) -> None:
    found = recorded(trial)
    assert RENDERERS["image/svg+xml"](found).count(FRAME.encode()) == 0
    assert (drawn(found) == drawn(recorded(None))).all()
    assert not laid_out(found).framed


def test_the_one_to_believe_is_marked() -> None:
    assert laid_out(recorded(GOOD), believed=True).texts[-1].words == "Of these, the one to believe"
    assert len(laid_out(recorded(GOOD)).texts) == len(laid_out(recorded(None)).texts)


def test_a_sentence_of_it_ends_the_alt_text() -> None:
    found = recorded(LOSES, known=False, warnings=("faint",))
    assert alt_text(found) == (
        f"{alt_text(replace(found, trial=None))} On nets like this one whose cause is known, lime named it in 118 of "
        "120 pictures, but it loses to the ink alone; do not take its word."
    )
    both = alt_text(recorded(BOTH))
    assert both.endswith("in 1000002 of 2000000 pictures, and it loses to the ink alone; do not take its word.")
