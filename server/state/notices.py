"""Tells all machines which models are to be loaded and unloaded: what one was asked to do, the others do too.

The last request for each model is kept, under an id of its own, so that a machine that was away does what it missed
when it is back; one that could not tell it tells it then.
"""

import fcntl
import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from server.state.connection import PREFIX, Away, Connection

Action = Literal["load", "unload"]
REQUESTS = f"{PREFIX}requests"
FILE = "notices.json"  # in the folder that the processes of a server share
MOST = 1000  # models whose requests are read

log = logging.getLogger(__name__)


class Request(NamedTuple):
    """What was asked of one model, and when, in seconds since 1970: the last request counts."""

    id: str
    action: Action
    at: float


class Notices:
    """The requests of all machines. The processes of this server share `folder`, with what was done last of each model
    and what could not be told yet."""

    def __init__(self, connection: Connection, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._connection, self._path, self._clock = connection, folder / FILE, clock

    def tell(self, model: str, action: Action) -> None:
        """Have the other machines do what this one has done: now, or as soon as the shared state answers."""
        request = Request(secrets.token_hex(8), action, self._clock())
        with self._locked() as done:
            done[model] = request
            try:
                self._connection.call(partial(_put, model, request))
            except Away:
                log.warning("%s is not yet %sed on other machines: the shared state does not answer", model, action)

    def poll(self, do: Callable[[str, Action], None]) -> None:
        """Have `do` load or unload what others were asked to since the last time, and tell what is not known there:
        what could not be told, or was lost with an emptied state. What `do` raises for is tried again. Raises what it
        does, and OSError."""
        try:
            found = _requests(self._connection.call(lambda client: client.hgetall(REQUESTS)))
        except Away:
            return
        if found == self._read():
            return
        with self._locked() as done, suppress(Away):
            for model in {*found, *done}:
                there, here = found.get(model), done.get(model)
                if here is not None and (there is None or there.at < here.at):
                    self._connection.call(partial(_put, model, here))
                elif there is not None and there != here:
                    do(model, there.action)
                    done[model] = there

    @contextmanager
    def _locked(self) -> Iterator[dict[str, Request]]:
        """What this server has done last, by model, for this process alone to change; it is written in the end,
        whatever happens."""
        with self._path.with_suffix(".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = self._read()
            before = dict(done)
            try:
                yield done
            finally:
                if done != before:
                    aside = self._path.with_name(f".{FILE}.{os.getpid()}")
                    aside.write_text(json.dumps({model: request._asdict() for model, request in done.items()}))
                    aside.replace(self._path)

    def _read(self) -> dict[str, Request]:
        try:
            stored = json.loads(self._path.read_bytes())
            return {model: Request(one["id"], one["action"], one["at"]) for model, one in stored.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}


def _put(model: str, request: Request, client: Any) -> None:
    client.hset(REQUESTS, model, json.dumps(request._asdict()))


def _requests(found: Mapping[bytes, bytes]) -> dict[str, Request]:
    """The requests by model; what is none is left out, since others may write there."""
    requests = {}
    for name, body in list(found.items())[:MOST]:
        try:
            stored = json.loads(body)
            model, request = name.decode(), Request(stored["id"], stored["action"], stored["at"])
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(request.id, str) and isinstance(request.at, int | float) and request.action in get_args(Action):
            requests[model] = request
    return requests
