"""How gunicorn runs wsgi:app. Settings come from INKLING_* variables (server/config.py)."""

import os
from glob import glob
from typing import Any

from server.config import Settings

# TensorFlow's C++ side says on every start, as an error, that a machine without a GPU has none; 0 shows it all
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
settings = Settings.from_env()
gpus = 0 if settings.device == "cpu" else len(glob("/dev/nvidia[0-9]*"))

bind = f"{settings.host}:{settings.port}"
workers = settings.workers or gpus or min(4, os.cpu_count() or 1)
worker_class = "gthread"  # its timeout is a heartbeat, so that a long explanation is not killed half way
threads = settings.threads
timeout = 60
graceful_timeout = 45  # longer than the longest explanation
keepalive = 5
backlog = 256
preload_app = False  # TensorFlow does not survive a fork
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None
control_socket_disable = True
loglevel = settings.log_level.lower()


def when_ready(server: Any) -> None:
    host = "localhost" if settings.host in ("0.0.0.0", "127.0.0.1", "::") else settings.host
    server.log.info("Inkling answers on http://%s:%d", host, settings.port)


def pre_fork(server: Any, worker: Any) -> None:
    """Give each worker the lowest number that no living worker has: worker i computes on GPU i."""
    taken = {other.number for other in server.WORKERS.values()}
    worker.number = next(number for number in range(len(taken) + 1) if number not in taken)


def post_fork(server: Any, worker: Any) -> None:
    os.environ["INKLING_WORKER"] = str(worker.number)
