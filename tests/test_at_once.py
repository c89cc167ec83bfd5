"""The worker without its loop: what becomes of an answer that is given where it accepts, and when none is."""

import os
import selectors
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import TConn

from server.worker import AtOnce, Worker


class Application:
    """As gunicorn loads it; `wsgi_app` may answer at once."""

    wsgi_app: Any = None

    def __init__(self, at_once: AtOnce) -> None:
        self.wsgi_app = Way(at_once)

    def wsgi(self) -> Any:
        return self


class Way:
    def __init__(self, at_once: AtOnce) -> None:
        self._answer = at_once

    def at_once(self, request: bytes) -> Any:
        return self._answer(request)


class Wrapped:
    """Stands before another application, as what watches over one does, and passes all else through."""

    def __init__(self, application: Any) -> None:
        self.application = application

    def __getattr__(self, name: str) -> Any:
        return getattr(self.application, name)


@contextmanager
def loaded(application: Any, **settings: Any) -> Iterator[Worker]:
    """A worker that has all but its loop."""
    cfg = Config()
    for name, value in settings.items():
        cfg.set(name, value)
    worker = Worker(1, os.getpid(), [], application, 30, cfg, Logger(cfg))
    worker.tpool, worker.poller = worker.get_thread_pool(), selectors.DefaultSelector()
    worker.method_queue.init()
    with closing(worker.tmp), closing(worker.method_queue), worker.poller, worker.tpool:
        worker.load_wsgi()
        yield worker


def kept(worker: Worker, accepted: socket.socket) -> None:
    """What the worker has of a connection of which a request was answered."""
    conn = TConn(worker.cfg, accepted, ("", 0), ("", 0))
    conn.init()
    accepted.setblocking(False)
    conn.set_timeout()
    worker.poller.register(accepted, selectors.EVENT_READ, partial(worker.on_client_socket_readable, conn))
    worker.keepalived_conns.append(conn)
    worker.nr_conns += 1


def in_threads(worker: Worker) -> None:
    """Wait for the threads, and let the worker see what they did."""
    worker.tpool.shutdown()
    worker.method_queue.run_callbacks(None)
    worker.wait_for_and_dispatch_events(0)


ANSWER = ([("Content-Length", "2")], b"{}")


@pytest.mark.parametrize("reads", ["at once", "later", "never"])
def test_an_answer_arrives_whole_however_late_it_is_read(reads: str) -> None:
    """Who does not read holds up nobody in the thread that accepts, and who has left is let go of."""
    client, accepted = socket.socketpair()
    with client, accepted, loaded(Application(lambda _: ANSWER)) as worker:
        before = 0
        with suppress(BlockingIOError):
            accepted.setblocking(False)
            while reads != "at once":
                before += accepted.send(bytes(65536))
        kept(worker, accepted)
        client.send(b"x")
        worker.wait_for_and_dispatch_events(1)
        if reads == "never":
            client.close()
        else:
            read = b""
            while not read.endswith(b"\r\n\r\n{}") and (part := client.recv(1 << 20)):
                read += part
            assert read[before:].startswith(b"HTTP/1.1 200 OK\r\n") and read.endswith(b"{}")
        in_threads(worker)
        assert worker.nr_conns == len(worker.keepalived_conns) == (reads != "never")


def refuse(_: bytes) -> Any:
    raise ZeroDivisionError


def test_what_goes_wrong_at_once_is_left_to_a_thread() -> None:
    client, accepted = socket.socketpair()
    with client, accepted, loaded(Application(refuse)) as worker:
        kept(worker, accepted)
        client.sendall(b"GARBAGE\r\n\r\n")  # which gunicorn answers itself
        worker.wait_for_and_dispatch_events(1)
        assert client.recv(4096).startswith(b"HTTP/1.1 400")
        client.close()
        in_threads(worker)
        assert worker.nr_conns == len(worker.keepalived_conns) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pre_request", lambda worker, request: None),
        ("post_request", lambda worker, request: None),
        ("limit_request_line", 100),
        ("limit_request_fields", 3),
        ("limit_request_field_size", 100),
        ("secure_scheme_headers", {"X-A": "yes", "X-B": "yes"}),
        ("protocol", "uwsgi"),
        ("max_requests", 9),
        ("accesslog", "-"),
        ("keyfile", "key.pem"),
    ],
)
def test_what_gunicorn_is_to_do_for_each_request_it_does(name: str, value: Any) -> None:
    application = Application(lambda _: ANSWER)
    with loaded(application) as usual, loaded(application, **{name: value}) as worker:
        assert usual._at_once is not None and worker._at_once is None


def test_an_application_below_another_address_is_asked_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPT_NAME", "/below")
    with loaded(Application(lambda _: ANSWER)) as worker:
        assert worker._at_once is None


def test_what_stands_before_the_application_sees_every_request() -> None:
    inside, outside = Application(lambda _: ANSWER), Application(lambda _: ANSWER)
    inside.wsgi_app = Wrapped(inside.wsgi_app)
    outside.wsgi = lambda: Wrapped(outside)  # type: ignore[method-assign]
    for application in (inside, outside):
        with loaded(application) as worker:
            assert worker._at_once is None
