"""Formats log lines: text for people, or one JSON object a line for machines. A record may carry facts (extra={"facts":
{...}}), which become fields of their own. Needs nothing but the standard library; gunicorn's own lines look the same.
"""

import json
import logging
import logging.config
from datetime import UTC, datetime
from typing import Any, Literal

ACCESS = "inkling.access"
ENCODE = json.JSONEncoder(default=str).encode  # json.dumps would make one for every line
TEXT = "%(asctime)s [%(process)d] %(levelname)s %(name)s: %(message)s"


class TextFormatter(logging.Formatter):
    """One line, facts last as name=value; an exception below it."""

    def __init__(self) -> None:
        super().__init__(TEXT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's name)
        facts = " ".join(f"{name}={value}" for name, value in getattr(record, "facts", {}).items())
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
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return ENCODE(fields)


def logging_config(form: Literal["text", "json"], level: str) -> dict[str, Any]:
    """What logging.config.dictConfig takes. Lines for requests do not depend on `level`: they have a switch of their
    own."""
    formatter = JsonFormatter if form == "json" else TextFormatter
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}},
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
