"""Controls the C library's heaps: how many there are, and when they give memory back. Does nothing without glibc.

glibc gives each thread a heap (arena) of its own, and keeps freed memory in all of them.
"""

import ctypes

ARENA_MAX = -8  # of mallopt


def share_arenas() -> None:
    """Have the threads of this process, and of the processes that it starts, share two heaps."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(ARENA_MAX, 2)


def trim_heaps() -> None:
    """Give the heaps' free memory back to the system: what a large picture, or the loading of an unrolled recurrent net
    (180 MB), once needed would stay for good. Large arrays outside the heaps would go back by themselves, but make
    large pictures take twice the time."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
