"""What the routes need from the application (dependency injection). Built once, in app.py."""

import socket
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from flask import current_app, request

from server.auth.signed_links import Links
from server.bulk.jobs import Jobs
from server.errors import ClientLeft
from server.feedback import FeedbackLog
from server.metrics import Metrics
from server.models.repository.store import Store
from server.protocols import ExplanationCache, RequestContext
from server.rollout.canary import Canary
from server.rollout.drift import Drift
from server.rollout.shadow import Shadow
from server.scheduling import PooledSession, Scheduler

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
    cache: ExplanationCache
    scheduler: Scheduler
    feedback: FeedbackLog | None  # of labels that people tell; None where they are not collected
    jobs: Jobs | None  # that run in the background; None where none are taken
    job_sources: tuple[str, ...]  # addresses below which a job may name its pictures
    canary: Canary | None  # a version on trial that answers some callers
    shadow: Shadow | None  # one that is asked beside the version that answers
    drift: Drift  # of what is sent from what is usual
    proxies: int  # in front, whose X-Forwarded-For is believed
    frame_ancestors: str  # origins whose pages may show the element in a frame, as the header has them

    @property
    def max_numbers(self) -> int:
        """Numbers of the largest tensor that is answered."""
        cards = [one.card for model in self.store.served_models.values() for one in model.versions.values()]
        return self.max_rows * max((card.image.height * card.image.width for card in cards), default=1024)


def service() -> Service:
    """The running application's Service."""
    found: Service = current_app.extensions[EXTENSION]
    return found


def session(budget: float) -> PooledSession:
    """Runs the explaining of the request, within `budget` seconds from now for all its pictures."""
    return service().scheduler.session(request_context(budget))


def request_context(budget: float = inf) -> RequestContext:
    """The context of the current request: at most `budget` seconds from now, while its client is connected."""
    return RequestContext.within(budget, raise_if_cancelled=disconnection_check(request.environ))


def disconnection_check(environ: "WSGIEnvironment") -> "partial[None]":
    """What raises ClientLeft when the client of a request has closed its end."""
    return partial(_raise_if_disconnected, environ.get("gunicorn.socket"))


def _raise_if_disconnected(connection: socket.socket | None) -> None:
    if connection is not None and _is_closed(connection):
        raise ClientLeft("the client left before there was an answer")


def _is_closed(connection: socket.socket) -> bool:
    """Whether the client has closed its end: bytes that it has sent since are of its next request."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ValueError:  # TLS cannot peek
        return False
    except OSError:
        return True
