"""Mutual exclusion for the packages, which draw from numpy's global generator and keep state on themselves."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from server.errors import PackageBusy
from server.protocols import RequestContext

_LOCK = threading.RLock()  # the packages' state is global, so its lock is too
POLL = 0.1  # seconds between two checks whether the request is cancelled


@contextmanager
def exclusive(context: RequestContext) -> Iterator[None]:
    """A lock on the packages for one request, which waits for it no longer than the context allows.

    Raises:
        PackageBusy: another request used them until the deadline.
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
    """Seeds numpy's global generator with `seed` (32 bits) for a `with` block and restores its state afterwards. The
    thread that has the lock enters at once, others wait for it.
    """
    with _LOCK:
        before = np.random.get_state()
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)
