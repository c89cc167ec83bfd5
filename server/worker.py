"""gunicorn's gthread worker, which answers small predictions where it accepts, and does not wait there for a client to
hang up.

A small picture on a connection that was kept is answered in less time than a thread takes to be woken for it, and then
to wait for the others of its process. So the thread that accepts answers it, where all of the request has arrived and
the application says that it is such a one (routes/express.py); all else goes to the threads.

After an answer with `Connection: close` gthread closes its half and waits up to two seconds for the client to close the
other (RFC 9112, 9.6), and it does so in its one thread that accepts and dispatches: whoever is slow to hang up, or a
round trip away, holds up everybody. Here such connections wait beside the others.

A gthread that is told to stop accepts nobody any more, and in the end closes the socket under those who have connected
and sent their request. Here they are accepted first, and answered as all the others.

The only file that knows gunicorn's insides; the requirements pin its version.
"""

import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.util import http_date
from gunicorn.workers.gthread import ThreadWorker

LINGER = 2.0  # seconds that a client has to hang up, as gthread gives it
ARRIVED = 16384  # bytes that are read at once, more than a small prediction has
DRAINED = 65536  # bytes that are read from it meanwhile
USUAL = (  # settings with which gunicorn has no more to do for a request than what is done here
    *("pre_request", "post_request", "statsd_host", "max_requests", "protocol", "secure_scheme_headers"),
    *("limit_request_line", "limit_request_fields", "limit_request_field_size"),
)
AtOnce = Callable[[bytes], tuple[Sequence[tuple[str, str]], bytes] | None]


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """The worker_class of gunicorn.conf.py."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._leaving: deque[Any] = deque()  # connections by the time at which they are closed in any case
        self._drained: dict[Any, int] = {}
        self._at_once: AtOnce | None = None

    def load_wsgi(self) -> None:
        super().load_wsgi()
        usual = Config().settings
        changed = [name for name in USUAL if self.cfg.settings[name].get() != usual[name].get()]
        if not (changed or self.log.access_log_enabled or self.cfg.is_ssl or os.environ.get("SCRIPT_NAME")):
            self._at_once = _own(_own(self.wsgi, "wsgi_app"), "at_once")

    def on_client_socket_readable(self, conn: Any, client: Any) -> None:
        """Called in the thread that accepts, when a client sends something on a connection that was kept."""
        if self._at_once is None or not self.alive or len(self.keepalived_conns) >= self.max_keepalived:
            super().on_client_socket_readable(conn, client)
            return
        try:
            arrived = client.recv(ARRIVED)
        except OSError:
            arrived = b""
        try:
            answer = self._at_once(arrived)
        except Exception:  # would end the worker
            self.log.exception("what arrived can not be answered at once")
            answer = None
        if answer is not None:
            self._reply(conn, client, *answer)
            return
        conn.parser.unreader.unread(arrived)
        super().on_client_socket_readable(conn, client)

    def _reply(self, conn: Any, client: Any, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """200, and the connection is kept. Where the client has not read the answers before, or has left, it is for a
        thread to see what becomes of it."""
        told = [("Server", wsgi.SERVER), ("Date", http_date()), ("Connection", "keep-alive"), *headers]
        head = "".join(["HTTP/1.1 200 OK\r\n", *[f"{name}: {value}\r\n" for name, value in told], "\r\n"])
        answer = head.encode("latin-1") + body
        try:
            sent = client.send(answer)
        except OSError:
            sent = 0
        self.nr += 1
        self.keepalived_conns.remove(conn)
        if sent == len(answer):
            conn.set_timeout()
            self.keepalived_conns.append(conn)
            return
        self.poller.unregister(client)
        rest = self.tpool.submit(_send, client, answer[sent:])
        rest.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Called in the thread that accepts, after each request; what remains open is gthread's business."""
        if fs.cancelled() or fs.exception() is not None or fs.result():
            super().finish_request(conn, fs)
            return
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drain, conn))
        except (OSError, ValueError):  # it is closed already
            self.nr_conns -= 1
            conn.close()
            return
        conn.timeout = time.monotonic() + LINGER
        self._leaving.append(conn)
        self._drained[conn] = 0

    def _cap_keepalive(self, deadline: float) -> None:
        """Called once: when the worker stops, and has stopped to accept."""
        for listener in self.sockets:
            try:
                self._leave(listener)
            except OSError:  # would end the worker and all that it is answering
                self.log.exception("some who have connected may not be answered")
        super()._cap_keepalive(deadline)

    def _leave(self, listener: Any) -> None:
        """Accept all who have connected, and close the socket, so that others are refused and do not wait for nothing.

        Where no other process has it open the kernel then resets who still waits to be accepted. So it is closed as
        soon as it is seen that nobody does, by a call that lets no other thread run in between. At the most as many
        are accepted as can have been waiting when the worker was told to stop: others may never cease to come."""
        for _ in range(self.cfg.backlog + 1):
            before = self.nr_conns
            self.accept(listener)
            if self.nr_conns == before and listener.get_backlog() <= 0:  # -1 where the system does not tell
                break
        listener.close()

    def murder_pending(self) -> None:
        """Called in each turn of the loop."""
        super().murder_pending()
        while self._leaving and self._leaving[0].timeout <= time.monotonic():
            self._hang_up(self._leaving[0])

    def _drain(self, conn: Any, sock: Any) -> None:
        try:
            sent = len(sock.recv(DRAINED))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            sent = 0
        self._drained[conn] += sent
        if sent == 0 or self._drained[conn] >= DRAINED:
            self._hang_up(conn)

    def _hang_up(self, conn: Any) -> None:
        self.poller.unregister(conn.sock)
        self._leaving.remove(conn)
        del self._drained[conn]
        self.nr_conns -= 1
        conn.close()


def _own(thing: Any, name: str) -> Any:
    """An attribute, None where there is none. One that `thing` passes on from what it stands before is not its own:
    to call that would be to go past it."""
    return getattr(thing, name, None) if hasattr(type(thing), name) else None


def _send(client: socket.socket, rest: bytes) -> bool:
    """Called in a thread; whether the connection can be kept."""
    try:
        client.setblocking(True)
        client.sendall(rest)
    except OSError:
        return False
    return True
