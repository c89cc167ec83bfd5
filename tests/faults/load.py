"""Clients that ask without pause while something happens, and what became of each request."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from threading import Event, Lock
from urllib.error import URLError

from tests.support.processes.servers import ask


@dataclass
class Outcome:
    """What a load of requests came to; `failures` are requests without an answer, as the client saw them."""

    statuses: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    answers: list[object] = field(default_factory=list)


@contextmanager
def load(
    questions: Sequence[tuple[str, bytes]], clients: int = 8, timeout: float = 60, pause: float = 0.0
) -> Iterator[Outcome]:
    """`clients` threads ask the (address, body) of `questions` in turn, each over new connections and with a pause of
    so many seconds after each answer, until the block ends."""
    outcome, stop, lock = Outcome(), Event(), Lock()

    def client(number: int) -> None:
        repetition = number
        while not stop.is_set():
            url, body = questions[repetition % len(questions)]
            repetition += 1
            start = time.perf_counter()
            try:
                status, _, answer = ask(url, body, timeout)
            except (URLError, HTTPException, OSError) as error:
                with lock:
                    outcome.failures.append(repr(error))
                continue
            with lock:
                outcome.statuses.append(status)
                outcome.answers.append(answer)
                outcome.seconds.append(time.perf_counter() - start)
            stop.wait(pause)

    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(client, number) for number in range(clients)]
        try:
            yield outcome
        finally:
            stop.set()
        for one in running:
            one.result()
