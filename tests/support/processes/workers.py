"""A gunicorn worker that runs in a thread of the tests, with an application that tells what it has read."""

import os
import selectors
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

LARGE = 64 << 20  # bytes, more than any socket keeps
SOON = 10  # seconds, on the slowest machine; less than a worker waits for a client, whose patience is tested


class Application:
    """As gunicorn loads it. `/large` has a large answer, `/hold` one when `released` is set, `/unread` one before the
    body is read; `/fail` fails. `paths` are those of all requests."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.paths: list[str] = []

    def wsgi(self) -> Any:
        return self

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.paths.append(environ["PATH_INFO"])
        if environ["PATH_INFO"] == "/fail":
            raise ArithmeticError("a secret")
        body = b"" if environ["PATH_INFO"] == "/unread" else environ["wsgi.input"].read()
        if environ["PATH_INFO"] == "/hold":
            self.released.wait(SOON)
        if environ["PATH_INFO"] == "/large":
            start_response("200 OK", [("Content-Length", str(LARGE))])
            return [bytes(LARGE)]
        answer = b"%s %s %d" % (environ["REQUEST_METHOD"].encode(), environ["PATH_INFO"].encode(), len(body))
        start_response("200 OK", [("Content-Length", str(len(answer)))])
        return [answer]


@dataclass
class RunningWorker:
    worker: Any
    application: Application
    address: tuple[str, int]

    def connected(self, sent: bytes = b"") -> socket.socket:
        connection = socket.create_connection(self.address, timeout=SOON)
        connection.sendall(sent)
        return connection

    def ask(self, request: bytes) -> bytes:
        """All that is answered to it until the worker closes, after this side has said that no more comes."""
        with self.connected(request) as connection:
            connection.shutdown(socket.SHUT_WR)
            return rest(connection)


def rest(connection: socket.socket) -> bytes:
    """All that arrives until the other side closes."""
    found = b""
    with suppress(ConnectionResetError):
        while part := connection.recv(65536):
            found += part
    return found


class Listener(socket.socket):
    """What gunicorn asks of its own."""

    def get_backlog(self) -> int:
        return -1


@contextmanager
def running_worker(kind: type[ThreadWorker], **settings: Any) -> Iterator[RunningWorker]:
    """A worker of this kind, with gunicorn's settings."""
    cfg, application = Config(), Application()
    for name, value in settings.items():
        cfg.set(name, value)
    with Listener() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        worker = kind(1, os.getppid(), [listener], application, 30, cfg, Logger(cfg))
        worker.tpool, worker.poller = worker.get_thread_pool(), selectors.DefaultSelector()
        worker.method_queue.init()
        worker.wsgi = application
        thread = threading.Thread(target=worker.run)
        with closing(worker.tmp):
            thread.start()
            try:
                yield RunningWorker(worker, application, listener.getsockname())
            finally:
                application.released.set()
                worker.handle_exit(15, None)
                thread.join(SOON)
        assert not thread.is_alive()
