"""One request at a time is with the packages: they draw from numpy's global generator and keep state on themselves."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from server.errors import PackageBusy
from server.protocols import RequestContext

_LOCK = threading.RLock()  # the packages' state is the process's, so its guard is too
POLL = 0.1  # seconds between two looks at whether there is any use in waiting


@contextmanager
def exclusive(context: RequestContext) -> Iterator[None]:
    """The packages for this request alone (mutual exclusion), after waiting no longer than the context allows.

    Raises:
        PackageBusy: another request was with them until the deadline.
    """
    while not _LOCK.acquire(timeout=min(max(context.remaining(), 0.0), POLL)):
        context.raise_if_cancelled()
        if context.remaining() <= 0:
            raise PackageBusy.after(context.budget)
    try:
        yield
    finally:
        _LOCK.release()


@contextmanager
def seeded_global_rng(seed: int) -> Iterator[None]:
    """Numpy's global generator as if `seed` (32 bits) were all its past; afterwards it goes on as if nothing had been
    drawn. The thread that has the packages enters at once, others wait for it.
    """
    with _LOCK:
        before = np.random.get_state()
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)
