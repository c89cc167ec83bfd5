"""The kinds of pictures that people post, made of MNIST's digits: photos, scans, drawings, crops, screens.

They are made of what telephones, scanners and canvases do, and of nothing that is known about how they are read: each
kind draws its paper, pens, light and camera from ranges that are written where they are used.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.case import Array
from benchmarks.pictures import boards, crops, drawings, forms, paper, prints, screens, sheets
from benchmarks.pictures.many import several

__all__ = ["KINDS", "Kind", "several"]

Kind = Callable[[Array, int, np.random.Generator], bytes]
"""A digit of MNIST (28, 28) uint8, light ink on black, with its label -> the bytes of a posted picture."""

KINDS: dict[str, Kind] = {
    kind.__name__: kind
    for kind in (
        paper.photo,
        paper.large_photo,
        paper.faint_pencil,
        paper.shadow_edge,
        paper.finger,
        paper.dust,
        paper.lined_scan,
        sheets.sheet_dark,
        sheets.sheet_pattern,
        sheets.sheet_texture,
        sheets.sheet_cut,
        forms.form_box,
        forms.squared_paper,
        forms.ruled_paper,
        forms.blue_on_squared,
        forms.red_ink,
        boards.whiteboard,
        boards.blackboard,
        screens.screen_moire,
        prints.stamped,
        prints.printed,
        drawings.drawing,
        drawings.drawing_dark,
        drawings.drawing_transparent,
        crops.tight_crop,
        crops.touching,
        crops.binarised,
        crops.binarised_small,
    )
}
