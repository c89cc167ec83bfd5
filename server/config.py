"""The settings of the service: one frozen dataclass, read from variables with the prefix INKLING_ and checked at start.

Each field's metadata says what it is for; numbers say their unit.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

PREFIX = "INKLING_"
MIB = 1 << 20
UNBOUNDED = 10**9


class SettingsError(ValueError):
    """A variable with a value that can not be used; the message names it and says what was expected."""


def _setting(default: Any, about: str, low: int = 0, high: int = UNBOUNDED) -> Any:
    return field(default=default, metadata={"about": about, "low": low, "high": high})


@dataclass(frozen=True)
class Settings:
    """How this service runs."""

    host: str = _setting("127.0.0.1", "address to listen on; 0.0.0.0 for all")
    port: int = _setting(8000, "port to listen on", 1, 65535)
    workers: int = _setting(0, "processes; 0 = one per GPU, else one per core, at most 4", 0)
    threads: int = _setting(16, "requests that a process works on at once", 1)
    model_store: Path = _setting(Path("model_store"), "folder with the models; its README.md is the contract")
    model: str = _setting("cnn", "model that answers when a request names none")
    device: Literal["auto", "cpu", "gpu"] = _setting(
        "auto", "where explanations are computed; auto = a GPU if there is one"
    )
    explain: Literal["on", "off"] = _setting("on", "off = predictions only; TensorFlow is then never imported")
    max_body_bytes: int = _setting(12 * MIB, "bytes of a request's body at most", 1024)
    max_images: int = _setting(64, "pictures in one request at most", 1)
    max_budget_ms: int = _setting(30_000, "milliseconds that one explanation may take at most", 1)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _setting("INFO", "least severity that is logged")

    @staticmethod
    def from_env(environ: Mapping[str, str] | None = None) -> "Settings":
        """Settings from INKLING_* variables.

        Raises:
            SettingsError: an unknown variable with the prefix, or a value that can not be used.
        """
        environ = os.environ if environ is None else environ
        known = {PREFIX + one.name.upper(): one for one in fields(Settings)}
        given = {key: raw for key, raw in environ.items() if key.startswith(PREFIX) and key not in ELSEWHERE}
        if unknown := sorted(set(given) - set(known)):
            raise SettingsError(f"unknown setting {unknown[0]}; known are {', '.join(known)}")
        hints = get_type_hints(Settings)
        return Settings(
            **{
                known[key].name: _read(key, raw, hints[known[key].name], known[key].metadata)
                for key, raw in given.items()
            }
        )


ELSEWHERE = {
    "INKLING_MNIST",
    "INKLING_WORKER",
}  # where tests find MNIST; which worker this process is (gunicorn.conf.py)


def _read(key: str, raw: str, hint: Any, facts: Mapping[str, Any]) -> Any:
    if get_origin(hint) is Literal:
        if raw not in get_args(hint):
            raise SettingsError(f"{key}={raw!r}; expected one of {', '.join(get_args(hint))}")
        return raw
    if hint is int:
        number = int(raw) if raw.isdecimal() and len(raw) < 10 else -1
        if not facts["low"] <= number <= facts["high"]:
            bounds = f"of at least {facts['low']}"
            if facts["high"] < UNBOUNDED:
                bounds = f"from {facts['low']} to {facts['high']}"
            raise SettingsError(f"{key}={raw[:50]!r}; expected a whole number {bounds}")
        return number
    if not raw:
        raise SettingsError(f"{key} is empty; expected {facts['about']}")
    return hint(raw)


def settings_table() -> str:
    """The rows of the README's table of settings."""
    rows = []
    for one in fields(Settings):
        rows.append(f"| `{PREFIX}{one.name.upper()}` | {one.default} | {one.metadata['about']} |")
    return "\n".join(rows)
