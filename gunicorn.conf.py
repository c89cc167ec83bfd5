"""How gunicorn runs wsgi:app. Settings come from INKLING_* variables (server/config.py)."""

import gc
import os
import shutil
import sys
from typing import Any, NoReturn

from gunicorn.glogging import Logger

from server.config import Settings, SettingsError
from server.logs import capture_streams, log_uncaught, logging_config, release_streams
from server.process.graceful_stop import stop_explaining_at_sigterm
from server.process.gunicorn_worker import Worker
from server.process.malloc import share_arenas, trim_heaps
from server.process.periodic import PeriodicTask
from server.process.preflight import check, connections, count_workers, prefers_tensorflow
from server.process.refusals import FOR_PAGES
from server.process.temporary_folders import make_folder


def refuse(why: object) -> NoReturn:
    """End the start with one line: gunicorn would print a traceback, or start workers that fail again and again."""
    sys.exit(f"Inkling does not start: {why}")


if os.environ.get("INKLING_LOG_FORMAT") == "json":
    capture_streams()  # before anything is written, also of mistakes in the settings
# TensorFlow's C++ side says on every start, as an error, that a machine without a GPU has none; 0 shows it all
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# numpy's products are small ones, in many threads; those of OpenBLAS would take half the processor by waiting for work
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
try:
    settings = Settings.from_env()
except SettingsError as error:
    refuse(error)

if not prefers_tensorflow(settings):  # TensorFlow's own threads do better with heaps of their own
    share_arenas()

bind = f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}"
workers = count_workers(settings)
threads = settings.threads
worker_connections = connections(threads)
timeout = 60
graceful_timeout = settings.grace
keepalive = 5
backlog = 256
preload_app = False  # TensorFlow does not survive a fork
worker_tmp_dir = in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None
control_socket_disable = True
forwarded_allow_ips = ""  # else any local peer could move paths by a header SCRIPT_NAME
loglevel = settings.log_level.lower()
logconfig_dict = logging_config(settings.log_format, settings.log_level)


class worker_class(Worker):  # noqa: N801  (gunicorn's name for it)
    """Its timeout is a heartbeat, so that a long explanation is not killed half way."""

    max_uploads = settings.max_uploads
    refused_with = FOR_PAGES if settings.cors_origins else ()

    def on_refusal(self, status: int, code: str) -> None:
        metrics = self.wsgi.extensions["inkling"].metrics  # of server/routes/service.py, which only workers import
        metrics.count_request(None, "", status)
        if status == 503:
            metrics.count_refusal(code)


class logger_class(Logger):  # noqa: N801  (gunicorn's name for it)
    """Without gunicorn's own line for each request, which it would write as soon as it has logconfig_dict: ours is
    INKLING_ACCESS_LOG."""

    @property
    def access_log_enabled(self) -> bool:
        return bool(self.cfg.accesslog)


def on_starting(server: Any) -> None:
    """Log what nobody catches, and make the folders that the workers share, once for the life of the server: a reload
    reads this file anew.

    Metrics lie in memory: to write into a file that is mapped from a full disk would kill the worker.
    """
    log_uncaught()
    server.temporary = []
    try:
        check(settings, workers)
        if settings.run_dir is None:
            server.temporary.append(make_folder("inkling-"))
        folder = str(settings.run_dir or server.temporary[0])
        os.makedirs(folder, exist_ok=True)
        metrics = make_folder("inkling-metrics-", in_memory)
        server.temporary.append(metrics)
    except (SettingsError, OSError) as error:
        refuse(error)
    os.environ["INKLING_RUN_DIR"] = folder
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics  # before anything imports prometheus_client


def when_ready(server: Any) -> None:
    host = "localhost" if settings.host in ("0.0.0.0", "127.0.0.1", "::") else settings.host
    server.log.info("Inkling answers on http://%s:%d", host, settings.port)


def pre_fork(server: Any, worker: Any) -> None:
    """Give each worker the lowest number that no living worker has: worker i computes on GPU i."""
    taken = {other.number for other in server.WORKERS.values()}
    worker.number = next(number for number in range(len(taken) + 1) if number not in taken)
    os.makedirs(os.environ["PROMETHEUS_MULTIPROC_DIR"], exist_ok=True)  # /dev/shm may have been cleared


def post_fork(server: Any, worker: Any) -> None:
    os.environ["INKLING_WORKER"] = str(worker.number)


def pre_exec(server: Any) -> None:
    """Called where gunicorn is replaced while it runs (SIGUSR2)."""
    release_streams()


def child_exit(server: Any, worker: Any) -> None:
    """Remove the gauges of a worker that has ended."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)


def post_worker_init(worker: Any) -> None:
    stop_explaining_at_sigterm(worker, settings.grace)
    gc.collect()
    gc.freeze()  # what is loaded stays; to look at it takes 15 ms, in which no thread runs, again and again
    if not prefers_tensorflow(settings):
        PeriodicTask(trim_heaps, 2, "memory could not be given back").start()


def on_exit(server: Any) -> None:
    for folder in server.temporary:
        shutil.rmtree(folder, ignore_errors=True)
