"""Rows that wait for one verb of a model, and whose turn it is: predictions first; what waits together goes together.

There is no thread for it. Who asks while nothing is computed computes at once, in the own thread and with the own
arrays, so that a lone request pays nothing and waits for nobody. Who asks meanwhile waits, and the lead passes to one
of those who wait: to a prediction where there is one, so that none is computed by an explanation's thread of low
priority.
Must not know what is computed.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from server.errors import QueueFull
from server.models.batching.request import LOOK, Asked, Limits, Outputs, Piece, Terms
from server.types import Array

log = logging.getLogger(__name__)


class Turns:
    """One queue in rows before `compute`, which takes arrays of n rows each and gives arrays of n rows or None."""

    def __init__(
        self,
        compute: Callable[..., Outputs],
        limits: Limits,
        now: Callable[[], float],
        on_wait: Callable[[int], None],
    ) -> None:
        """`on_wait` is told when so many more rows wait, or, if negative, fewer."""
        self.compute, self.limits, self._now, self._on_wait = compute, limits, now, on_wait
        self._told = 0  # rows that wait, by what was told
        self._lock = threading.Lock()
        self._predictions: deque[Asked] = deque()
        self._explanations: deque[Asked] = deque()
        self._led = False  # somebody computes, or has been woken in order to

    def ask(self, arrays: Sequence[Array], terms: Terms) -> Outputs:
        """What compute gives for arrays of n rows each.

        Raises:
            QueueFull: too many rows wait already.
            OutOfTime: no turn before the deadline.
            Exception: what compute or the interrupt raised.
        """
        asked = Asked(arrays, terms)
        with self._lock:
            before = _waiting(self._predictions) + (0 if terms.first else _waiting(self._explanations))
            if before and before + asked.rows > self.limits.queue:
                raise QueueFull(f"{before} rows wait for this model already; ask again in a second")
            (self._predictions if terms.first else self._explanations).append(asked)
            leads, self._led = not self._led, True
        if not leads:
            self._tell()
        while not asked.over:
            leads = self._turn(asked) if leads else self._wait(asked)
        error, asked.error = asked.error, None
        if error is not None:
            self._tell()
            try:
                raise error
            finally:
                del error  # its traceback has this frame: together they would keep the rows
        return asked.parts[0] if len(asked.parts) == 1 else _joined(asked.parts)

    def _wait(self, asked: Asked) -> bool:
        """Whether it is for `asked` to lead, after it has been woken, is not wanted any more, or some time has passed:
        who leaves while the model is busy is not to keep a thread and a place for as long."""
        asked.woken.wait(min(max(0.0, asked.terms.deadline - self._now()), LOOK))
        with self._lock:
            error = None if asked.woken.is_set() else asked.terms.over(self._now())
            if error is not None:
                self._remove(asked)
                asked.end(error)
            asked.woken.clear()
            leads, asked.leads = asked.leads, False
            return leads

    def _remove(self, asked: Asked) -> None:
        for queue in (self._predictions, self._explanations):
            if asked in queue:
                queue.remove(asked)

    def _turn(self, own: Asked) -> bool:
        """Compute for those whose turn it is; whether `own` goes on leading."""
        try:
            with self._lock:
                pieces, size = self._take()
            self._tell()
            if pieces:
                self._answer(pieces, size)
        finally:
            with self._lock:
                leads = self._pass_on(own)
        self._tell()
        return leads

    def _tell(self) -> None:
        with self._lock:
            waiting = _waiting(self._predictions) + _waiting(self._explanations)
            change, self._told = waiting - self._told, waiting
        try:
            if change:
                self._on_wait(change)
        except Exception:  # whoever waits has the lead in due time, whatever becomes of the count
            log.exception("how many rows wait could not be told")

    def _take(self) -> tuple[list[Piece], int]:
        """The rows whose turn it is, and the size to which they are to be filled up. Explanations fill up a turn of
        predictions where that costs nothing; without predictions the turn is theirs. A request with more rows than fit
        goes on with the rest behind those who wait."""
        self._drop()
        limits = self.limits
        pieces = self._pieces(self._predictions, limits.turn)
        rows = sum(piece.rows for piece in pieces)
        pieces += self._pieces(self._explanations, limits.bucket(rows) - rows if pieces else limits.explain)
        return pieces, limits.bucket(sum(piece.rows for piece in pieces))

    def _pieces(self, queue: deque[Asked], most: int) -> list[Piece]:
        pieces = []
        while queue and most > 0:
            asked = queue.popleft()
            start, asked.taken = asked.taken, min(asked.taken + most, asked.rows)
            whole = start == 0 and asked.taken == asked.rows
            arrays = asked.arrays if whole else [array[start : asked.taken] for array in asked.arrays]
            pieces.append(Piece(asked, arrays))
            most -= asked.taken - start
            if asked.taken < asked.rows:
                queue.append(asked)
        return pieces

    def _drop(self) -> None:
        """End each request whose answer is not wanted any more."""
        now = self._now()
        for asked in (*self._predictions, *self._explanations):
            error = asked.terms.over(now)
            if error is not None:
                self._remove(asked)
                asked.end(error)

    def _answer(self, pieces: list[Piece], size: int) -> None:
        """Compute them together; where that fails, each alone, so that one cannot fail another."""
        try:
            outputs = self._computed(pieces, size)
        except Exception as error:  # whatever a foreign graph raises
            if len(pieces) == 1:
                self._end(pieces[0].asked, error)
                return
            for piece in pieces:
                self._answer([piece], self.limits.bucket(piece.rows))
            return
        except BaseException:  # this thread is being ended; the others must not wait for ever
            for piece in pieces:
                self._end(piece.asked, RuntimeError("the thread that computed was ended"))
            raise
        start = 0
        for piece in pieces:
            stop = start + piece.rows
            alone = len(pieces) == 1 and size <= piece.rows
            piece.asked.parts.append(outputs if alone else [_rows(array, start, stop) for array in outputs])
            start = stop
            if piece.asked.taken == piece.asked.rows:
                piece.asked.end()

    def _end(self, asked: Asked, error: Exception) -> None:
        with self._lock:
            self._remove(asked)
            asked.end(error)

    def _computed(self, pieces: list[Piece], size: int) -> Outputs:
        columns = list(zip(*(piece.arrays for piece in pieces), strict=True))
        arrays = [column[0] if len(column) == 1 else np.concatenate(column) for column in columns]
        more = size - len(arrays[0])
        if more > 0:
            arrays = [np.concatenate([array, np.repeat(array[-1:], more, axis=0)]) for array in arrays]
        return self.compute(*arrays)

    def _pass_on(self, own: Asked) -> bool:
        """Give the lead to a prediction that waits, else leave it with `own` while that is not answered, else give it
        to the explanation that waits longest. Whether `own` keeps it."""
        self._drop()
        if self._predictions:
            heir = self._predictions[0]
        elif not own.over:
            heir = own
        elif self._explanations:
            heir = self._explanations[0]
        else:
            self._led = False
            return False
        if heir is not own:
            heir.leads = True
            heir.woken.set()
        return heir is own


def _waiting(queue: deque[Asked]) -> int:
    """Rows that have not had their turn."""
    return sum(asked.rows - asked.taken for asked in queue)


def _rows(array: Array | None, start: int, stop: int) -> Array | None:
    return None if array is None else array[start:stop]


def _joined(parts: list[Outputs]) -> Outputs:
    return [None if column[0] is None else np.concatenate(column) for column in zip(*parts, strict=True)]
