"""Schedules the rows that wait for one verb of a model (dynamic batching, leader/followers): predictions go first, and
rows that wait together are computed together.

There is no thread for it. A call that finds the model idle computes at once, in its own thread and with its own arrays,
so that a single request pays nothing and waits for nobody. Calls that find it busy wait, and the lead passes to one of
them: to a prediction where there is one, so that no prediction is computed by an explanation's thread of low priority.
Must not know what is computed.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from server.errors import QueueFull
from server.models.batching.request import POLL, BatchRequest, CallOptions, Limits, Outputs, Slice
from server.types import Array

log = logging.getLogger(__name__)


class BatchScheduler:
    """One queue in rows before `compute`, which takes arrays of n rows each and gives arrays of n rows or None."""

    def __init__(
        self,
        compute: Callable[..., Outputs],
        limits: Limits,
        now: Callable[[], float],
        on_wait: Callable[[int], None],
    ) -> None:
        """`on_wait` is called with the number of rows that began to wait or, if negative, no longer do."""
        self.compute, self.limits, self.on_wait = compute, limits, on_wait
        self._now = now
        self._reported = 0  # rows that wait, as `on_wait` knows
        self._lock = threading.Lock()
        self._predictions: deque[BatchRequest] = deque()
        self._explanations: deque[BatchRequest] = deque()
        self._has_leader = False  # a thread computes, or has been woken in order to

    def submit(self, arrays: Sequence[Array], options: CallOptions) -> Outputs:
        """What compute gives for arrays of n rows each.

        Raises:
            QueueFull: too many rows wait already.
            OutOfTime: no batch took the rows before the deadline.
            Exception: what compute or the cancellation raised.
        """
        request = BatchRequest(arrays, options)
        with self._lock:
            before = _waiting(self._predictions) + (0 if options.is_prediction else _waiting(self._explanations))
            if before and before + request.rows > self.limits.queue:
                raise QueueFull(f"{before} rows wait for this model already; ask again in a second")
            (self._predictions if options.is_prediction else self._explanations).append(request)
            leads, self._has_leader = not self._has_leader, True
        if not leads:
            self._report_waiting()
        while not request.done:
            leads = self._lead(request) if leads else self._wait(request)
        error, request.error = request.error, None
        if error is not None:
            self._report_waiting()
            try:
                raise error
            finally:
                del error  # its traceback has this frame: together they would keep the rows
        return request.parts[0] if len(request.parts) == 1 else _concatenated(request.parts)

    def _wait(self, request: BatchRequest) -> bool:
        """Whether `request` is to lead, after it was woken, ended, or polled: a client that leaves while the model is
        busy must not keep a thread and a place for as long."""
        request.woken.wait(min(max(0.0, request.options.deadline - self._now()), POLL))
        with self._lock:
            error = None if request.woken.is_set() else request.options.ended(self._now())
            if error is not None:
                self._remove(request)
                request.finish(error)
            request.woken.clear()
            leads, request.is_leader = request.is_leader, False
            return leads

    def _remove(self, request: BatchRequest) -> None:
        for queue in (self._predictions, self._explanations):
            if request in queue:
                queue.remove(request)

    def _lead(self, leader: BatchRequest) -> bool:
        """Compute the next batch; whether `leader` goes on leading."""
        try:
            with self._lock:
                slices, size = self._next_batch()
            self._report_waiting()
            if slices:
                self._compute_batch(slices, size)
        finally:
            with self._lock:
                leads = self._pass_lead(leader)
        self._report_waiting()
        return leads

    def _report_waiting(self) -> None:
        with self._lock:
            waiting = _waiting(self._predictions) + _waiting(self._explanations)
            change, self._reported = waiting - self._reported, waiting
        try:
            if change:
                self.on_wait(change)
        except Exception:  # a broken metric must not keep the lead from the requests that wait
            log.exception("how many rows wait could not be told")

    def _next_batch(self) -> tuple[list[Slice], int]:
        """The slices to compute now, and the size to which they are padded. Explanations fill a batch of predictions
        where that costs nothing; without predictions the batch is theirs. A request with more rows than fit goes on
        with the rest at the end of its queue."""
        self._drop_ended()
        limits = self.limits
        slices = self._take_slices(self._predictions, limits.batch)
        rows = sum(one.rows for one in slices)
        slices += self._take_slices(self._explanations, limits.bucket(rows) - rows if slices else limits.explain)
        return slices, limits.bucket(sum(one.rows for one in slices))

    def _take_slices(self, queue: deque[BatchRequest], limit: int) -> list[Slice]:
        """At most `limit` rows from the front of the queue."""
        slices = []
        while queue and limit > 0:
            request = queue.popleft()
            start, request.scheduled = request.scheduled, min(request.scheduled + limit, request.rows)
            whole = start == 0 and request.scheduled == request.rows
            arrays = request.arrays if whole else [array[start : request.scheduled] for array in request.arrays]
            slices.append(Slice(request, arrays))
            limit -= request.scheduled - start
            if request.scheduled < request.rows:
                queue.append(request)
        return slices

    def _drop_ended(self) -> None:
        """Finish each request whose answer is no longer wanted."""
        now = self._now()
        for request in (*self._predictions, *self._explanations):
            error = request.options.ended(now)
            if error is not None:
                self._remove(request)
                request.finish(error)

    def _compute_batch(self, slices: list[Slice], size: int) -> None:
        """Compute the slices together; where that fails, one by one, so that one request cannot fail another."""
        try:
            outputs = self._outputs_of(slices, size)
        except Exception as error:  # a foreign graph may raise anything
            if len(slices) == 1:
                self._fail(slices[0].request, error)
                return
            for one in slices:
                self._compute_batch([one], self.limits.bucket(one.rows))
            return
        except BaseException:  # this thread is being ended; the others must not wait for ever
            for one in slices:
                self._fail(one.request, RuntimeError("the thread that computed was ended"))
            raise
        start = 0
        for one in slices:
            stop = start + one.rows
            unpadded = len(slices) == 1 and size <= one.rows
            one.request.parts.append(outputs if unpadded else [_rows(array, start, stop) for array in outputs])
            start = stop
            if one.request.scheduled == one.request.rows:
                one.request.finish()

    def _fail(self, request: BatchRequest, error: Exception) -> None:
        with self._lock:
            self._remove(request)
            request.finish(error)

    def _outputs_of(self, slices: list[Slice], size: int) -> Outputs:
        """The outputs of all slices, padded to `size` rows by copies of the last row."""
        columns = list(zip(*(one.arrays for one in slices), strict=True))
        arrays = [column[0] if len(column) == 1 else np.concatenate(column) for column in columns]
        missing = size - len(arrays[0])
        if missing > 0:
            arrays = [np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) for array in arrays]
        return self.compute(*arrays)

    def _pass_lead(self, leader: BatchRequest) -> bool:
        """Give the lead to a prediction that waits, else leave it with `leader` until that is done, else give it to the
        explanation that has waited longest. Whether `leader` keeps it."""
        self._drop_ended()
        if self._predictions:
            next_leader = self._predictions[0]
        elif not leader.done:
            next_leader = leader
        elif self._explanations:
            next_leader = self._explanations[0]
        else:
            self._has_leader = False
            return False
        if next_leader is not leader:
            next_leader.is_leader = True
            next_leader.woken.set()
        return next_leader is leader


def _waiting(queue: deque[BatchRequest]) -> int:
    """Rows that no batch has taken yet."""
    return sum(request.rows - request.scheduled for request in queue)


def _rows(array: Array | None, start: int, stop: int) -> Array | None:
    return None if array is None else array[start:stop]


def _concatenated(parts: list[Outputs]) -> Outputs:
    return [None if column[0] is None else np.concatenate(column) for column in zip(*parts, strict=True)]
