"""How requests are counted: exactly where a limit is small, and with few questions to the storage where it is large."""

from typing import Any

import pytest
from limits.storage import MemoryStorage

from server.routes.middleware import rate_limiter
from server.routes.middleware.rate_limiter import RateLimiter


class FakeStorage(MemoryStorage):
    """A storage of all processes; what it was asked, and whether it answers."""

    STORAGE_SCHEME = ["shared"]  # noqa: RUF012  (the package's own way)

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.requested, self.away = 0, False

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        return self._answer(super().incr(key, expiry, amount))

    def get_expiry(self, key: str) -> float:
        return self._answer(super().get_expiry(key))

    def _answer(self, answer: Any) -> Any:
        self.requested += 1
        if self.away:
            raise ConnectionError("nobody there")
        return answer


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> FakeStorage:
    storage = FakeStorage()
    monkeypatch.setattr(rate_limiter, "storage_from_string", lambda _: storage)
    return storage


def let_through(process: RateLimiter, times: int, who: str = "key one") -> int:
    return sum(process.take(who)[-1].remaining >= 0 for _ in range(times))


def test_a_small_limit_is_exact_over_processes_with_one_question_a_request(shared: FakeStorage) -> None:
    one, other = RateLimiter("1000/hour", ""), RateLimiter("1000/hour", "")
    assert [one.take("key one")[0].remaining, other.take("key one")[0].remaining, one.take("key one")[0].remaining] == [
        999,
        998,
        997,
    ]
    assert let_through(one, 500) + let_through(other, 600) == 997
    assert shared.requested == 1103 + 1  # the other asks once when the window ends
    assert let_through(other, 1, "key two") == 1


def test_a_large_limit_needs_few_calls_and_is_never_exceeded(shared: FakeStorage) -> None:
    one, other = RateLimiter("20000/hour", ""), RateLimiter("20000/hour", "")
    reported = [one.take("key one")[0].remaining for _ in range(100)]
    assert reported == list(range(19999, 19899, -1)) and shared.requested < 10
    let = 100 + let_through(other, 5) + let_through(one, 30_000)
    assert 20_000 - 20_000 // rate_limiter.SHARE <= let <= 20_000
    assert let + let_through(other, 30_000) == 20_000


def test_a_window_that_is_over_leaves_nothing_to_the_next(shared: FakeStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1e9]
    monkeypatch.setattr("time.time", lambda: now[0])
    process = RateLimiter("20000/minute", "")
    assert let_through(process, 20_001) == 20_000
    assert process.take("key one")[0].seconds == 60
    now[0] += 61
    left = process.take("key one")[0]
    assert (left.remaining, left.seconds) == (19_999, 60)
    assert let_through(process, 20_001) == 19_999


def test_limits_after_the_first_exceeded_one_do_not_count(shared: FakeStorage) -> None:
    process = RateLimiter("1000/day;2/minute", "")
    assert [(one.name, one.remaining) for one in process.take("key one")] == [("minute", 1), ("day", 999)]
    process.take("key one")
    assert [(one.name, one.remaining) for one in process.take("key one")] == [("minute", -1)]


def test_when_the_storage_answers_again_it_counts_again(shared: FakeStorage, caplog: pytest.LogCaptureFixture) -> None:
    clock = [100.0]
    process = RateLimiter("2/hour", "", now=lambda: clock[0])
    assert let_through(process, 1) == 1
    shared.away = True
    requested = shared.requested
    assert let_through(process, 3) == 2 and shared.requested == requested + 1
    clock[0] += rate_limiter.RETRY_AFTER
    shared.away = False
    assert process.take("key two")[0].remaining == 1
    assert ["alone" in caplog.messages[0], "again" in caplog.messages[1]] == [True, True]


def test_callers_that_are_forgotten_are_still_counted(shared: FakeStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limiter, "CALLERS", 2)
    process = RateLimiter("2/hour", "")
    assert [let_through(process, 1, f"address {number}") for number in (1, 2, 3, 1, 2, 3)] == [1] * 6
    assert [let_through(process, 1, f"address {number}") for number in (1, 2, 3)] == [0] * 3


def test_a_new_caller_displaces_the_one_that_was_away_longest(
    shared: FakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was reserved for the others is not lost: they ask the storage no more often."""
    monkeypatch.setattr(rate_limiter, "CALLERS", 2)
    process = RateLimiter("20000/hour", "")
    process.take("busy")
    process.take("busy")
    for number in range(5):
        process.take(f"address {number}")
        requested = shared.requested
        assert let_through(process, 2, "busy") == 2 and shared.requested == requested
