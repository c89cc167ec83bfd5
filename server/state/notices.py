"""Tells all machines which models are to be loaded and unloaded: what one was asked to do, the others do too.

The last request for each model is kept, under an id of its own, so that a machine that was away does what it missed
when it is back; one that could not tell it tells it then.
"""

import fcntl
import json
import logging
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
    """What was asked of one model."""

    id: str
    action: Action


class Notices:
    """The requests of all machines. The processes of this server share `folder`, with what was done last of each model
    and what could not be told yet."""

    def __init__(self, connection: Connection, folder: Path) -> None:
        self._connection, self._path = connection, folder / FILE

    def tell(self, model: str, action: Action) -> None:
        """Have the other machines do what this one has done: now, or as soon as the shared state answers."""
        request = Request(secrets.token_hex(8), action)
        with self._locked() as notes:
            notes["done"][model] = request.id
            notes["untold"][model] = list(request)
            if not self._tell_all(notes["untold"]):
                log.warning("%s is not yet %sed on other machines: the shared state does not answer", model, action)

    def poll(self, do: Callable[[str, Action], None]) -> None:
        """Tell what could not be told, and have `do` load or unload what others were asked to since the last time; what
        it raises for is tried again. Raises what it does, and OSError."""
        try:
            found = self._connection.call(lambda client: client.hgetall(REQUESTS))
        except Away:
            return
        notes = self._read()
        if not notes["untold"] and not _new(found, notes["done"]):
            return
        with self._locked() as notes:
            self._tell_all(notes["untold"])
            for model, request in _new(found, notes["done"]).items():
                if model not in notes["untold"]:
                    do(model, request.action)
                    notes["done"][model] = request.id

    def _tell_all(self, untold: dict[str, list[str]]) -> bool:
        """Whether all could be told; what was is taken out."""
        for model, (identity, action) in list(untold.items()):
            body = json.dumps({"id": identity, "action": action})
            try:
                self._connection.call(partial(_put, model, body))
            except Away:
                return False
            del untold[model]
        return True

    @contextmanager
    def _locked(self) -> Iterator[dict[str, dict[str, Any]]]:
        """What this server has noted, for this process alone to change; it is written in the end, whatever happens."""
        with self._path.with_suffix(".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            notes = self._read()
            before = json.dumps(notes)
            try:
                yield notes
            finally:
                if (after := json.dumps(notes)) != before:
                    aside = self._path.with_name(f".{FILE}.{os.getpid()}")
                    aside.write_text(after)
                    aside.replace(self._path)

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            stored = json.loads(self._path.read_bytes())
            return {"done": dict(stored["done"]), "untold": dict(stored["untold"])}
        except (OSError, ValueError, KeyError, TypeError):
            return {"done": {}, "untold": {}}


def _put(model: str, body: str, client: Any) -> None:
    client.hset(REQUESTS, model, body)


def _new(found: Mapping[bytes, bytes], done: Mapping[str, str]) -> dict[str, Request]:
    """The requests that were not done yet; what is none is left out, since others may write there."""
    requests = {}
    for name, body in list(found.items())[:MOST]:
        try:
            stored = json.loads(body)
            model, request = name.decode(), Request(stored["id"], stored["action"])
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(request.id, str) and request.action in get_args(Action) and done.get(model) != request.id:
            requests[model] = request
    return requests
