"""Tells all machines which models are to be loaded and unloaded: what one was asked to do, the others do too.

The last request for each model is kept, with a number that counts up, so that a machine that was away does what it
missed when it is back.
"""

import fcntl
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args

from server.state.connection import PREFIX, Away, Connection

Action = Literal["load", "unload"]
REQUESTS, COUNT = f"{PREFIX}requests", f"{PREFIX}requests-count"
FILE = "notices.json"  # in the folder that the processes of a server share: the number that was done last, by model


class Notices:
    """The requests of all machines. The processes of this server share `folder`: one of them does what is new."""

    def __init__(self, connection: Connection, folder: Path) -> None:
        self._connection, self._path = connection, folder / FILE

    def tell(self, model: str, action: Action) -> None:
        """Have the other machines do what this one has done. Nothing while the shared state is away."""

        def work(client: Any) -> int:
            number = int(client.incr(COUNT))
            client.hset(REQUESTS, model, json.dumps({"number": number, "action": action}))
            return number

        with suppress(Away), self._path.with_suffix(".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # else another process of this server would do it once more
            self._write({**self._done(), model: self._connection.call(work)})

    def poll(self, do: Callable[[str, Action], None]) -> None:
        """Have `do` load or unload what others were asked to since the last time. Raises what it does, and OSError."""
        try:
            found = self._connection.call(lambda client: client.hgetall(REQUESTS))
        except Away:
            return
        requests = {name.decode(): request for name, body in found.items() if (request := _request(body)) is not None}
        if _new(requests, self._done()) == {}:
            return
        with self._path.with_suffix(".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = self._done()
            new = _new(requests, done)
            self._write({**done, **{name: number for name, (number, _) in new.items()}})
        for name, (_, action) in new.items():
            do(name, action)

    def _done(self) -> dict[str, int]:
        try:
            stored = json.loads(self._path.read_bytes())
            return {str(name): int(number) for name, number in stored.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def _write(self, done: dict[str, int]) -> None:
        aside = self._path.with_name(f".{FILE}.{os.getpid()}")
        aside.write_text(json.dumps(done))
        aside.replace(self._path)


def _new(requests: Mapping[str, tuple[int, Action]], done: Mapping[str, int]) -> dict[str, tuple[int, Action]]:
    """Those with another number than what was done last: a state that was emptied counts from 1 again."""
    return {name: one for name, one in requests.items() if one[0] != done.get(name)}


def _request(body: bytes) -> tuple[int, Action] | None:
    """None for what is no request: others may write there."""
    try:
        stored = json.loads(body)
        number, action = stored["number"], stored["action"]
    except (ValueError, KeyError, TypeError):
        return None
    return (number, action) if type(number) is int and action in get_args(Action) else None
