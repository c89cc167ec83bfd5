"""Time as tests have it: a clock that they set, and how long they wait for what must happen."""

from dataclasses import dataclass

PATIENCE = 60.0  # seconds, on the slowest machine; a test that passes seldom waits for a thousandth of that


@dataclass
class Clock:
    """A clock that the test sets; each look moves it on by `step` seconds."""

    seconds: float = 100.0
    step: float = 0.0

    def __call__(self) -> float:
        self.seconds += self.step
        return self.seconds
