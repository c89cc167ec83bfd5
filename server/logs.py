"""Formats log lines: text for people, or one JSON object a line for machines. A record may carry facts (extra={"facts":
{...}}), which become fields of their own; so may a thread, of the request that it answers (`log_with`). Needs nothing
but the standard library; gunicorn's own lines look the same.

`capture_streams` makes lines of what others write to stdout and stderr: the C++ side of TensorFlow and LiteRT has no
switch for all that it says there, nor has a process that crashes.
"""

import atexit
import json
import logging
import logging.config
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, TextIO

ACCESS = "inkling.access"
ENCODE = json.JSONEncoder(default=str).encode  # json.dumps would make one for every line
TEXT = "%(asctime)s [%(process)d] %(levelname)s %(name)s: %(message)s"

Fields = Mapping[str, str]
NO_FIELDS: Fields = {}
_fields: ContextVar[Fields] = ContextVar("fields", default=NO_FIELDS)


def log_with(fields: Fields) -> None:
    """Have every line that this thread logs from now on say this too, such as the trace of the request that it
    answers."""
    _fields.set(fields)


def carried(function: Callable[[], None]) -> Callable[[], None]:
    """The function, for another thread to call: its lines say what those of this thread do now."""
    fields = _fields.get()
    if not fields:
        return function

    def call() -> None:
        log_with(fields)
        try:
            function()
        finally:
            log_with(NO_FIELDS)

    return call


class TextFormatter(logging.Formatter):
    """One line, facts last as name=value; an exception below it."""

    def __init__(self) -> None:
        super().__init__(TEXT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's name)
        facts = " ".join(f"{name}={value}" for name, value in _facts(record).items())
        return f"{super().formatMessage(record)} {facts}".rstrip()


class JsonFormatter(logging.Formatter):
    """One JSON object in one line, an exception as a field of it."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
            **_facts(record),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return ENCODE(fields)


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    return {**getattr(record, "facts", {}), **_fields.get()}


_stderr: TextIO | None = None  # where lines go while what others write is captured


def capture_streams() -> None:
    """Write each line that this process and its children write to stdout and stderr, by whatever means, as one JSON
    object: a thread reads them from a pipe. Logging goes past it. The lines of a child outlive it."""
    global _stderr
    if _stderr is not None:  # gunicorn reads its configuration again at each reload
        return
    _stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    reading, writing = os.pipe()
    for descriptor in (1, 2):
        os.dup2(writing, descriptor)
    os.close(writing)
    thread = threading.Thread(target=_log_lines, args=(reading, _stderr.fileno()), name="captured-output", daemon=True)
    thread.start()
    atexit.register(_flush, thread, os.getpid())


def release_streams() -> None:
    """Undo `capture_streams` for the program that replaces this one."""
    if _stderr is not None:
        for descriptor in (1, 2):
            os.dup2(_stderr.fileno(), descriptor)


def _flush(thread: threading.Thread, process: int) -> None:
    """Log what is on its way when the process ends that reads it; its children write on."""
    if os.getpid() == process:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        release_streams()
        thread.join(1)  # not for ever: a child may go on


def _log_lines(reading: int, writing: int) -> None:
    """Takes no lock that a child may need which is forked just now."""
    formatter = JsonFormatter()
    with os.fdopen(reading, encoding="utf-8", errors="backslashreplace") as lines:
        for line in lines:
            if text := line.strip():
                record = {"name": "output", "levelname": "INFO", "process": None, "msg": text}
                os.write(writing, f"{formatter.format(logging.makeLogRecord(record))}\n".encode())


def log_uncaught() -> None:
    """Log warnings of Python, and exceptions that nobody catches, as other lines."""
    logging.captureWarnings(True)
    sys.excepthook = _log_exception
    threading.excepthook = _log_exception_in_thread


def _log_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger(__name__).critical("not caught", exc_info=(kind, error, trace))


def _log_exception_in_thread(found: threading.ExceptHookArgs) -> None:
    if found.exc_value is not None and found.exc_type is not SystemExit:
        name = "a thread" if found.thread is None else f"thread {found.thread.name}"
        logging.getLogger(__name__).critical(
            "not caught in %s", name, exc_info=(found.exc_type, found.exc_value, found.exc_traceback)
        )


def logging_config(form: Literal["text", "json"], level: str) -> dict[str, Any]:
    """What logging.config.dictConfig takes. Lines for requests do not depend on `level`: they have a switch of their
    own."""
    formatter = JsonFormatter if form == "json" else TextFormatter
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": _stderr or sys.stderr}
        },
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": {
            ACCESS: {"level": "INFO"},
            "gunicorn.error": {"level": level, "handlers": ["stderr"], "propagate": False},
        },
    }


def configure(form: Literal["text", "json"], level: str) -> None:
    """Configure logging, unless gunicorn or an embedding program already has."""
    if not logging.root.handlers:
        logging.config.dictConfig(logging_config(form, level))
