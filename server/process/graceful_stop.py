"""What a worker does at SIGTERM beside what gunicorn does: its explanations end in time to be answered."""

import signal
from typing import Any

FOR_ANSWERS = 5.0  # seconds of the grace time that are left for answers, or half of it where that is less


def stop_explaining_at_sigterm(worker: Any, grace: float) -> None:
    """Have the explanations of a gunicorn worker end before its `grace` seconds do, with what they have by then."""

    def stop(number: int, frame: Any) -> None:
        worker.wsgi.extensions["inkling"].scheduler.stop_within(grace - min(FOR_ANSWERS, grace / 2))
        worker.handle_exit(number, frame)

    signal.signal(signal.SIGTERM, stop)
    signal.siginterrupt(signal.SIGTERM, False)
