"""Lingering close (RFC 9112, 9.6): after its last answer a connection is half closed, and the poller reads and drops
what the client still sends. A client that sends all before it reads would else get a reset in place of its answer.

Nobody gains by never hanging up or by sending on: see LINGER, DRAINED and DRAINS. Must not know gunicorn.
"""

import selectors
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

LINGER = 5.0  # seconds that a client has to hang up
DRAINED = 64 << 20  # bytes that are read from it meanwhile
DRAINS = 64  # connections from which so much is read at once; from others READ
READ = 65536  # bytes that are read at once


class Lingering:
    """The connections that wait for their clients to hang up. All runs in the thread of the poller; a connection has
    `sock` and `timeout`."""

    def __init__(self, on_end: Callable[[Any], None]) -> None:
        self._on_end = on_end  # is given a connection to close
        self._left: dict[Any, int] = {}  # connections, the first to be closed first -> bytes that are still read

    def begin(self, conn: Any, poller: selectors.BaseSelector, now: float) -> None:
        """Close this half of a connection, and the other when the client has, LINGER is over, or DRAINED is read."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            poller.register(conn.sock, selectors.EVENT_READ, partial(self._drain, conn, poller))
        except (OSError, ValueError):  # it is closed already
            self._on_end(conn)
            return
        conn.timeout = now + LINGER
        self._left[conn] = DRAINED if len(self._left) < DRAINS else READ

    def end_late(self, poller: selectors.BaseSelector, now: float) -> None:
        """Close the connections whose time is over."""
        while self._left and (first := next(iter(self._left))).timeout <= now:
            self._end(first, poller)

    def _drain(self, conn: Any, poller: selectors.BaseSelector, sock: socket.socket) -> None:
        try:
            sent = len(sock.recv(READ))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            sent = 0
        self._left[conn] -= sent
        if sent == 0 or self._left[conn] <= 0:
            self._end(conn, poller)

    def _end(self, conn: Any, poller: selectors.BaseSelector) -> None:
        poller.unregister(conn.sock)
        del self._left[conn]
        self._on_end(conn)
