"""Explanations that all machines keep together: bytes by id in Redis, at most so many; the oldest are deleted when it
is full (FIFO), as in the file of a single machine, which takes over while Redis is away.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from server.cache import Event
from server.cache.entry import StaleEntry, decode, encode
from server.errors import NotReady
from server.protocols import ExplanationCache
from server.state.connection import PREFIX, Away, Connection
from server.types import Explanation

log = logging.getLogger(__name__)

BODY, ORDER, SIZES, TOTAL = (f"{PREFIX}{name}" for name in ("explanation:", "order", "sizes", "bytes"))
LARGEST_SHARE = 8  # an entry is kept if it has at most one in so many of all bytes
# KEYS: order, sizes, total. ARGV: prefix of bodies, id, body, bytes at most, milliseconds at most (0 = no end).
PUT = """
local function drop(id)
  local size = redis.call('HGET', KEYS[2], id)
  if size then
    redis.call('DEL', ARGV[1] .. id)
    redis.call('HDEL', KEYS[2], id)
    redis.call('ZREM', KEYS[1], id)
    redis.call('DECRBY', KEYS[3], size)
  end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lasts = tonumber(ARGV[5])
drop(ARGV[2])
if lasts > 0 then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - lasts)) do drop(id) end
end
while tonumber(redis.call('GET', KEYS[3]) or '0') + #ARGV[3] > tonumber(ARGV[4]) do
  local oldest = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
  if not oldest then
    redis.call('SET', KEYS[3], 0)
    break
  end
  drop(oldest)
end
if lasts > 0 then
  redis.call('SET', ARGV[1] .. ARGV[2], ARGV[3], 'PX', lasts)
else
  redis.call('SET', ARGV[1] .. ARGV[2], ARGV[3])
end
redis.call('HSET', KEYS[2], ARGV[2], #ARGV[3])
redis.call('ZADD', KEYS[1], now, ARGV[2])
redis.call('INCRBY', KEYS[3], #ARGV[3])
"""


class SharedExplanations:
    """Explanations in Redis, of at most `max_bytes` together, each for `seconds` at most (0 = until newer ones need the
    room); while Redis is away, in `alone`. `on_event` is called with each event, for metrics."""

    def __init__(
        self,
        connection: Connection,
        alone: ExplanationCache,
        max_bytes: int,
        seconds: int = 0,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self._connection, self._alone, self._on_event = connection, alone, on_event
        self._max_bytes, self._seconds = max_bytes, seconds

    @property
    def gone(self) -> str:
        return self._alone.gone

    @property
    def max_age(self) -> int:
        return self._alone.max_age

    def get(self, identity: str) -> Explanation | None:
        try:
            return self.find(identity)
        except NotReady:
            return None

    def find(self, identity: str) -> Explanation | None:
        try:
            body = self._connection.call(lambda client: client.get(BODY + identity))
        except Away:
            return self._alone.find(identity)
        found = None if body is None else self._decoded(bytes(body), identity)
        if found is None:
            return self._alone.find(identity)  # kept while Redis was away
        self._on_event("hit")
        return found

    def put(self, explanation: Explanation) -> Explanation:
        if explanation.attribution.state == "partial":
            self._on_event("not kept")
            return replace(explanation, kept=False)
        try:
            kept = self._write(explanation)
        except Away:
            return self._alone.put(explanation)
        self._on_event("kept" if kept else "not kept")
        return replace(explanation, kept=kept)

    def _write(self, explanation: Explanation) -> bool:
        try:
            body = encode(explanation)
        except (TypeError, ValueError):
            log.exception("explanation %s cannot be kept", explanation.id)
            return False
        if len(body) > self._max_bytes // LARGEST_SHARE:
            return False
        arguments: list[Any] = [BODY, explanation.id, body, self._max_bytes, 1000 * self._seconds]
        self._connection.call(lambda client: client.eval(PUT, 3, ORDER, SIZES, TOTAL, *arguments))
        return True

    def _decoded(self, body: bytes, identity: str) -> Explanation | None:
        try:
            return decode(body, identity)
        except StaleEntry as error:  # of another release, or nobody's: the next explanation takes its place
            log.warning("the shared entry of explanation %s is passed over: %s", identity, error)
            return None
