"""A gunicorn gthread worker in which slow clients hold no threads (buffering in the poller).

gthread gives a thread to each connection that is accepted, and to each that was kept as soon as it is readable. The
thread then waits for the rest of the request, so that as many slow clients as there are threads hold up all the others.
Here the poller waits: a thread gets a request when all of it has arrived (request_framing.py). One that is larger than
COLLECTED, or does not tell its length, is read by a thread after all; so many such uploads as `max_uploads` are read at
once, and the others wait in the order in which they came, unread, so that TCP slows their clients down. Waits are
bounded: see `PATIENCE` and `UPLOAD_PATIENCE`. With TLS, HTTP/2 or another protocol gthread does it in its own way.

After an answer with `Connection: close` gthread closes its half and waits up to two seconds for the client to close the
other, and it does so in its one thread that accepts and dispatches. Here such connections wait in the poller too
(lingering.py). And such is every answer that comes before the end of an upload: gthread announces that the connection
stays, reads on in a thread, and then breaks it off.

What gunicorn cannot read it answers with a page of HTML, and logs with the client's address. Here it is an error in the
application's shape (refusals.py), and its log line has nothing of the request.

A gthread that has to stop accepts no more connections, and in the end closes the socket under clients that have
connected and sent their request. Here they are accepted first, and answered as all the others.

The only file that knows gunicorn's insides; the requirements pin its version.
"""

import errno
import os
import select
import selectors
import socket
import struct
import time
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any

from gunicorn.http.errors import (
    ConfigurationProblem,
    ExpectationFailed,
    InvalidHTTPVersion,
    InvalidRequestLine,
    InvalidRequestMethod,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.workers.base import Worker as BaseWorker
from gunicorn.workers.gthread import ThreadWorker

from server.process.lingering import Lingering
from server.process.refusals import BUG, NO_TURN, TLS, Refusal, unreadable
from server.process.request_framing import Needs, RequestFraming
from server.process.upload_reader import UploadReader

COLLECTED = 65536  # bytes of a request that wait for the others; times worker_connections is the most that all take
PATIENCE = 15.0  # seconds that a head may take, and that may pass between two pieces of a body, as in deploy/nginx.conf
UPLOAD_PATIENCE = 60.0  # seconds that an upload waits for its turn
CHECKS = 1.0  # seconds between two checks for connections that are late or closed
HUNG_UP = getattr(select, "POLLRDHUP", 0)  # other systems than Linux do not tell
STOP_MARGIN = 5.0  # seconds before the end of a stop at which uploads without a turn are refused
QUOTED = 256  # characters of a request that an answer repeats at most

TOO_LONG = unreadable(431, f"the head is longer than {COLLECTED} bytes; send fewer or shorter header fields")
PARSED = (  # what gunicorn's parser raises, the status, and what its own text does not say
    (LimitRequestLine, 414, "send a shorter address"),
    (LimitRequestHeaders, 431, "send fewer or shorter header fields: 100, and of 8190 bytes, are read"),
    (ExpectationFailed, 417, "leave Expect out, or send Expect: 100-continue"),
    (UnsupportedTransferCoding, 501, "send the body as it is, with its length or in chunks"),
    ((InvalidRequestLine, InvalidRequestMethod, InvalidHTTPVersion), 400,
     "expected lines that end with CR LF, the first one such as GET /livez HTTP/1.1"),
    ((ParseException, ConfigurationProblem), 400,
     "expected fields as `name: value`, each on one line, and those that frame the body once and alone"),
)  # fmt: skip


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """The worker_class of gunicorn.conf.py. All but `handle_request` runs in the one thread that accepts and
    dispatches."""

    max_uploads: int | None = None  # half of the threads unless gunicorn.conf.py says otherwise
    refused_with: Collection[str] = ()  # header fields of every refusal

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        only_http1 = self.cfg.protocol == "http" and "h2" not in self.cfg.http_protocols
        self._collects = only_http1 and not self.cfg.is_ssl and self.cfg.proxy_protocol == "off"
        self._collecting: dict[Any, RequestFraming] = {}  # connections in the poller whose request is not whole
        self._max_uploads = self.max_uploads or max(1, self.cfg.threads // 2)
        self._uploads: set[Any] = set()  # connections whose body a thread is reading
        self._queue: deque[Any] = deque()  # connections whose upload waits for its turn
        self._last_turn = inf  # time after which none waits any more: set when the worker stops
        self._next_check = 0.0
        self._lingering = Lingering(self._close)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Called by the handler of SIGQUIT. gthread shuts its pool down in it, and waits for ever where the signal came
        while the pool was given a request."""
        BaseWorker.handle_quit(self, sig, frame)

    def accept(self, listener: Any) -> None:
        """Accept a connection, and let the other workers have the next: this takes so little time that one worker would
        else have all who connect at once, and as long as they stay the others have nothing to do."""
        super().accept(listener)
        os.sched_yield()

    def enqueue_req(self, conn: Any) -> None:
        """Called when a connection is new, when it was kept and is readable, and when more than its last request has
        been read from it."""
        if not self._collects:
            super().enqueue_req(conn)
            return
        if not conn.initialized:
            conn.init()
            _bound_waits(conn.sock)
        conn.sock.setblocking(False)
        buffer = RequestFraming(COLLECTED, conn.parser.unreader.take_buffered())
        conn.timeout = time.monotonic() + (PATIENCE if buffer.received else self.cfg.keepalive)
        if buffer.ready or self._receive(conn, buffer):
            self._hand_over(conn, buffer)
            return
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._on_more, conn))
        self._collecting[conn] = buffer

    def _on_more(self, conn: Any, sock: Any) -> None:
        buffer = self._collecting[conn]
        if self._receive(conn, buffer):
            self._stop_collecting(conn)
            self._hand_over(conn, buffer)

    def _stop_collecting(self, conn: Any) -> None:
        self.poller.unregister(conn.sock)
        del self._collecting[conn]

    def _receive(self, conn: Any, buffer: RequestFraming) -> bool:
        """Read what has arrived; whether the poller has nothing more to wait for."""
        try:
            data = conn.sock.recv(buffer.room)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""  # the parser will find the same
        begins = not buffer.received
        buffer.add(data)
        if begins or buffer.needs is Needs.BODY:
            conn.timeout = time.monotonic() + PATIENCE
        return buffer.ready or not data

    def _hand_over(self, conn: Any, buffer: RequestFraming) -> None:
        """Give a thread the request, now or when an upload before it has ended."""
        if buffer.needs in (Needs.REFUSAL, Needs.TLS):
            self._refuse(conn, TOO_LONG if buffer.needs is Needs.REFUSAL else TLS)
            return
        conn.parser.unreader.unread(bytes(buffer.received))
        if buffer.needs is not Needs.THREAD:
            super().enqueue_req(conn)
        elif len(self._uploads) < self._max_uploads:
            self._upload(conn)
        else:
            conn.timeout = min(time.monotonic() + UPLOAD_PATIENCE, self._last_turn)
            self._queue.append(conn)

    def _upload(self, conn: Any) -> None:
        self._uploads.add(conn)
        super().enqueue_req(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Called in a thread, with a request whose head has been parsed."""
        if conn in self._uploads:
            end = partial(self.method_queue.defer, self._end_upload, conn)
            reader = req.body.reader = UploadReader(req.body.reader, end)
            closes = req.should_close
            req.should_close = lambda: not reader.ended or closes()  # asked when the answer's head is written
            for name, value in req.headers:
                if name == "TRANSFER-ENCODING" and value.lower() != "chunked":  # gunicorn undoes no other coding
                    raise UnsupportedTransferCoding(value)
        try:
            return super().handle_request(req, conn)
        except BlockingIOError as error:  # the client reads nothing: as if it had hung up
            raise BrokenPipeError(errno.EPIPE, "the client does not read its answer") from error

    def _end_upload(self, conn: Any) -> None:
        """Begin the next uploads after a body has been read."""
        self._uploads.discard(conn)
        while self._queue and len(self._uploads) < self._max_uploads:
            self._upload(self._queue.popleft())

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Called after each request; gthread itself goes on with connections that stay open."""
        self._end_upload(conn)
        if fs.cancelled() or fs.exception() is not None or fs.result():
            super().finish_request(conn, fs)
        else:
            self._lingering.begin(conn, self.poller, time.monotonic())

    def on_refusal(self, status: int, code: str) -> None:
        """Called, in any thread, when a request has been refused that the application never saw."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Called in a thread when a request cannot be parsed, or the worker itself fails."""
        for kinds, status, advice in PARSED:
            if isinstance(exc, kinds):
                self._answer(client, unreadable(status, f"{str(exc)[:QUOTED]}; {advice}"))
                return
        self._answer(client, BUG, exc)

    def _refuse(self, conn: Any, refusal: Refusal) -> None:
        self._answer(conn.sock, refusal)
        self._lingering.begin(conn, self.poller, time.monotonic())

    def _answer(self, sock: Any, refusal: Refusal, bug: Exception | None = None) -> None:
        """Answer in place of the application, which never sees the request. The log has nothing of it, as it may hold a
        secret."""
        identifier, answer = refusal.answer(self.refused_with)
        if bug is None:
            self.log.info("request %s is refused: %d %s", identifier, refusal.status, refusal.status.phrase)
        else:
            self.log.error("request %s failed", identifier, exc_info=bug)
        self.on_refusal(refusal.status, refusal.code)
        with suppress(OSError):  # it is reset just now
            sock.sendall(answer)

    def _close(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()

    def murder_pending(self) -> None:
        """Called in each turn of the loop."""
        super().murder_pending()
        now = time.monotonic()
        self._lingering.end_late(self.poller, now)
        if now >= self._next_check:
            self._next_check = now + CHECKS
            self._end_late(now)
            self._end_queued(now)

    def _end_late(self, now: float) -> None:
        """A client that was silent loses its connection. One that began is treated as if it had hung up: the parser
        refuses what is wrong already, and the application what breaks off."""
        for conn, buffer in [item for item in self._collecting.items() if item[0].timeout <= now]:
            self._stop_collecting(conn)
            if buffer.received:
                with suppress(OSError):  # it is reset already
                    conn.sock.shutdown(socket.SHUT_RD)
                self._hand_over(conn, buffer)
            else:
                self._close(conn)

    def _end_queued(self, now: float) -> None:
        """Hand over uploads whose client has hung up at once, and refuse those that have waited too long."""
        watch, queue = select.poll(), self._queue
        for conn in queue:
            watch.register(conn.sock, HUNG_UP)
        left = {descriptor for descriptor, _ in watch.poll(0)}
        self._queue = deque(conn for conn in queue if conn.sock.fileno() not in left and conn.timeout > now)
        for conn in queue:
            if conn.sock.fileno() in left:
                super().enqueue_req(conn)
            elif conn.timeout <= now:
                self._refuse(conn, NO_TURN)

    def _cap_keepalive(self, deadline: float) -> None:
        """Called once: when the worker stops, and has stopped to accept."""
        for listener in self.sockets:
            try:
                self._leave(listener)
            except OSError:  # would end the worker and all that it is answering
                self.log.exception("some who have connected may not be answered")
        self._last_turn = time.monotonic() + max(0.0, self.cfg.graceful_timeout - STOP_MARGIN)
        for conn in self._queue:
            conn.timeout = min(conn.timeout, self._last_turn)
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


def _bound_waits(sock: socket.socket) -> None:
    """A thread that reads from it waits for PATIENCE at most, and so does one that writes: then the client has broken
    off. A write that has got rid of a part begins anew, hence its shorter time."""
    for option, seconds in ((socket.SO_RCVTIMEO, PATIENCE), (socket.SO_SNDTIMEO, PATIENCE / 3)):
        whole, rest = divmod(seconds, 1)
        sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(whole), int(rest * 1e6)))
