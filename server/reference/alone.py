"""One request at a time is with the packages: they draw from numpy's global generator and keep state on themselves."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from server.errors import NotReady

_TURN = threading.RLock()  # the packages' state is the process's, so its guard is too
STEP = 0.1  # seconds between two looks at whether there is any use in waiting


@contextmanager
def turn(seconds: float, interrupt: Callable[[], None] = lambda: None) -> Iterator[None]:
    """The turn at the packages, after waiting for at most `seconds`, and no longer than `interrupt` lets one.

    Raises:
        NotReady: another request was with them all that time.
    """
    while not _TURN.acquire(timeout=min(max(seconds, 0.0), STEP)):
        interrupt()
        seconds -= STEP
        if seconds <= 0:
            raise NotReady(
                "engine=reference answers one request at a time and is busy; try again, or use engine=inkling"
            )
    try:
        yield
    finally:
        _TURN.release()


@contextmanager
def alone(seed: int) -> Iterator[None]:
    """Numpy's global generator as if `seed` (32 bits) were all its past; afterwards it goes on as if nothing had been
    drawn. Whoever has the turn enters at once, others wait for it.
    """
    with _TURN:
        before = np.random.get_state()
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)
