"""The C library's heaps: how many there are, and what they give back to the system. Nothing happens where it cannot.

glibc gives each thread a heap of its own, and keeps in all of them what was freed.
"""

import ctypes

ARENA_MAX = -8  # of mallopt


def share_heaps() -> None:
    """Have the threads of this process, and of those that it starts, share two heaps."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(ARENA_MAX, 2)


def give_back() -> None:
    """Give the system what the heaps hold for nobody: what a large picture, or the loading of an unrolled recurrent net
    (180 MB), once needed would stay for good. Large arrays outside the heaps would go back by themselves, but make
    large pictures take twice the time."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
