"""Something that is done again and again, as long as the process lives: looking for models, giving memory back."""

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class PeriodicTask:
    """Calls `look` every so many seconds in a thread of its own, until `stop` is called, whatever it raises: the log
    then says what `failed`."""

    def __init__(self, look: Callable[[], None], seconds: float, failed: str) -> None:
        self._look = look
        self._seconds = seconds
        self._failed = failed
        self._stopped = threading.Event()
        self._told = ""

    def start(self) -> None:
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            self.once()

    def once(self) -> None:
        """Look. What goes wrong is told once, until something else does or nothing."""
        try:
            self._look()
            self._told = ""
        except Exception as error:  # the next look may succeed, and requests go on meanwhile
            told = f"{type(error).__name__}: {error}"
            if told != self._told:
                log.exception(self._failed)
            self._told = told
