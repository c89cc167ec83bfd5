"""What the routes need of the application that they run in. Built once, in app.py."""

import socket
import time
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from flask import current_app, request

from server.desk import SlotDesk
from server.flights import Flights
from server.handles import Records
from server.metrics import Metrics
from server.models.store import Store
from server.signing import Links
from server.slots import Caller, Slots

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

EXTENSION = "inkling"


@dataclass(frozen=True)
class Service:
    """The parts and limits of a running application."""

    store: Store
    model: str  # that answers when a request names none
    max_images: int  # in one request
    max_budget_ms: int  # of one request
    max_rows: int  # of a tensor
    metrics: Metrics
    links: Links | None  # that sign the address of an explanation; None where everybody may ask
    records: Records
    slots: Slots
    flights: Flights


def service() -> Service:
    """The running application's Service."""
    found: Service = current_app.extensions[EXTENSION]
    return found


def desk(budget: float) -> SlotDesk:
    """Where the explaining of the running request is done, within `budget` seconds from now for all its pictures."""
    return SlotDesk(caller(request.environ, budget), service().slots, service().flights)


def caller(environ: "WSGIEnvironment", budget: float = inf, start: float | None = None) -> Caller:
    """Who waits for the answer to a request, `budget` seconds from `start` or now at most."""
    begun = time.monotonic() if start is None else start
    return Caller(begun + budget, budget, time.monotonic, partial(_gone, environ.get("gunicorn.socket")))


def _gone(connection: socket.socket | None) -> bool:
    """Whether the client has closed its end: bytes that it has sent since are of its next request."""
    if connection is None:
        return False
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ValueError:  # TLS has no such look
        return False
    except OSError:
        return True
