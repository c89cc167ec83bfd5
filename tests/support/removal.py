"""What a removal test costs."""

from server.types import Explanation


def removal_rows(found: Explanation) -> int:
    """Pictures that it took: the image, two without each piece of ink, and one with each gap closed."""
    return 1 + sum(1 if part.kind == "gap" else 2 for part in found.parts)
