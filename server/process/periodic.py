"""Runs a task periodically in a thread, as long as the process lives: looking for models, giving memory back."""

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class PeriodicTask:
    """Calls `action` every `seconds` in a thread of its own until `stop`. Where it raises, `failed` is logged and the
    task goes on."""

    def __init__(self, action: Callable[[], object], seconds: float, failed: str) -> None:
        self._action = action
        self._seconds = seconds
        self._failed = failed
        self._stopped = threading.Event()
        self._logged = ""

    def start(self, at_once: bool = False) -> None:
        """Begin, with the first call `at_once` or after the time between two."""
        threading.Thread(target=self._run, args=(at_once,), name="periodic", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self, at_once: bool) -> None:
        if at_once:
            self.run_once()
        while not self._stopped.wait(self._seconds):
            self.run_once()

    def run_once(self) -> None:
        """Call the action. An error is logged once, until another comes or the action succeeds."""
        try:
            self._action()
            self._logged = ""
        except Exception as error:  # the next call may succeed, and requests go on meanwhile
            error_text = f"{type(error).__name__}: {error}"
            if error_text != self._logged:
                log.exception(self._failed)
            self._logged = error_text
