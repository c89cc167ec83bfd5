"""What was tried and what came of it, as a table: `make test-faults` puts it into benchmarks/RESULTS.md."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from benchmarks.machine import machine
from benchmarks.results import write_part

ASKED = "FAULTS_TABLE"  # set by make test-faults
MOST = 600  # seconds that all may take
began = pytest.StashKey[float]()
tried = pytest.StashKey[list[tuple[str, str, float]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[tried] = []
    config.stash[began] = time.monotonic()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if call.when == "call" or report.outcome != "passed":
        measured = "; ".join(f"{name} {value}" for name, value in item.user_properties)
        outcome = "passed" if report.outcome == "passed" else f"**{report.outcome}**"
        item.config.stash[tried].append(
            (reported(item), f"{outcome}{': ' if measured else ''}{measured}", call.duration)
        )
    return report


def reported(item: pytest.Item) -> str:
    """The test's name in words."""
    name, _, case = item.name.partition("[")
    words = name.removeprefix("test_").replace("_", " ")
    return f"{words} ({case.rstrip(']')})" if case else words


def taken(config: pytest.Config) -> float:
    return time.monotonic() - config.stash[began]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reported, late = f"{taken(config):.0f} s, of {MOST} at most", taken(config) > MOST
    terminalreporter.write_line(reported, red=late)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    rows, seconds = session.config.stash[tried], taken(session.config)
    if seconds > MOST and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if rows and os.environ.get(ASKED):
        facts = machine()
        where = f"{facts['processor']}, {facts['cores']} cores; {facts['system']}"
        lines = [f"| {what.replace('|', '/')} | {outcome} | {seconds:.1f} |" for what, outcome, seconds in rows]
        head = [
            "# Faults, tried for real\n",
            f"Written by `make test-faults`. {datetime.now(UTC):%Y-%m-%d}. {where}.\n",
        ]
        lines.append(
            f"| all of it, in {MOST} s at most | {'passed' if seconds <= MOST else '**failed**'} | {seconds:.1f} |"
        )
        write_part("faults", "\n".join([*head, "| what happens | | seconds |", "|---|---|---|", *lines]))
