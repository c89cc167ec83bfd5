"""One request at a time is with the packages: they draw from numpy's global generator and keep state on themselves."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from server.errors import NotReady

_TURN = threading.RLock()  # the packages' state is the process's, so its guard is too


@contextmanager
def turn(seconds: float) -> Iterator[None]:
    """The turn at the packages, after waiting for at most `seconds`.

    Raises:
        NotReady: another request was with them all that time.
    """
    if not _TURN.acquire(timeout=max(seconds, 0.0)):
        raise NotReady("engine=reference answers one request at a time and is busy; try again, or use engine=inkling")
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
