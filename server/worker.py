"""gunicorn's gthread worker, without its waits in the thread that accepts.

After an answer with `Connection: close` gthread closes its half and waits up to two seconds for the client to close the
other (RFC 9112, 9.6), and it does so in its one thread that accepts and dispatches: a client that is slow to hang up,
or a round trip away, holds up everybody. Here such connections wait in the poller, beside the others.

A gthread that is told to stop accepts nobody any more, and in the end closes the socket under those who have connected
and sent their request. Here they are accepted first, and answered as all the others.

The only file that knows gunicorn's insides; the requirements pin its version.
"""

import selectors
import socket
import time
from collections import deque
from functools import partial
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

LINGER = 2.0  # seconds that a client has to hang up, as gthread gives it
DRAINED = 65536  # bytes that are read from it meanwhile


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """The worker_class of gunicorn.conf.py."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._leaving: deque[Any] = deque()  # connections by the time at which they are closed in any case
        self._drained: dict[Any, int] = {}

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
