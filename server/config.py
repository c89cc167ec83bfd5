"""The settings of the service: one frozen dataclass, read from variables with the prefix INKLING_ and checked at start.

Each field's metadata says what it is for; numbers say their unit.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

PREFIX = "INKLING_"
MIB = 1 << 20
UNBOUNDED = 10**9


class SettingsError(ValueError):
    """A variable with a value that cannot be used; the message names it and says what was expected."""


def _setting(
    default: Any, about: str, low: int = 0, high: int = UNBOUNDED, like: str = "", secret: bool = False
) -> Any:
    """`like` is a pattern that the whole value has to match; a `secret` is never shown."""
    metadata = {"about": about, "low": low, "high": high, "like": like, "secret": secret}
    return field(default=default, metadata=metadata)


RATE = r"[1-9]\d{0,8}/(second|minute|hour|day)"
ORIGIN = r"https?://[A-Za-z0-9.\[\]:-]+"
STORAGE = r"memory://|(redis|rediss|redis\+unix|memcached)://.+"
STATE = r"(redis|rediss|unix|valkey|valkeys)://[^?#]+"
SHARE = r"[^@:;/]+@[^@:;/]+:(0?\.\d{1,6}|1(\.0{1,6})?)"
ADDRESS_LIKE = r"[a-z][a-z0-9+.-]*://[^\s,]+"
ADDRESS = r"file:///.+|[a-z][a-z0-9+.-]*://[^/\s].*"
RULE = r"(all|latest:[1-9]\d{0,8}|specific:\d+(,\d+)*)"
NAMED = rf"[^=;:/]+={RULE}"
COLLECTOR = r"https?://[^\s/?#]+(/[^\s?#]*)?"
HOST_NAME = r"((\*?\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[A-Fa-f0-9:.]+\])"


@dataclass(frozen=True)
class Settings:
    """How this service runs."""

    host: str = _setting("127.0.0.1", "address to listen on; 0.0.0.0 for all")
    port: int = _setting(8000, "port to listen on", 1, 65535)
    workers: int = _setting(0, "processes; 0 = one for each GPU; without GPUs one for each core, at most 4", 0)
    threads: int = _setting(16, "requests that a process works on at once", 1)
    model_store: Path = _setting(Path("model_store"), "folder with the models; its README.md says what belongs in it")
    model_source: str | None = _setting(
        None,
        "store elsewhere that the folder follows: s3://bucket/store, gs://..., file:///..., or https://... (read only)",
        like=ADDRESS,
    )
    source_poll_ms: int = _setting(1000, "milliseconds between two looks at that store", 100)
    trust: Path | None = _setting(
        None, "file of public keys (PEM, Ed25519); only versions and labels signed by one of them are served"
    )
    versions: str = _setting(
        "all",
        "versions to serve beside labelled ones: all, latest:2, specific:1,3, or by model cnn=latest:2;mlp=specific:1",
        like=rf"({RULE}|{NAMED})(;{NAMED})*",
    )
    canary: str | None = _setting(
        None,
        "share of callers that the version under a label answers, such as cnn@canary:0.05;mlp@next:0.5",
        like=rf"{SHARE}(;{SHARE})*",
    )
    shadow: str | None = _setting(
        None,
        "share of pictures that the version under a label is asked about too, after the answer: cnn@canary:0.1",
        like=rf"{SHARE}(;{SHARE})*",
    )
    poll_ms: int = _setting(500, "milliseconds between two looks for new versions and labels; 0 = never look again", 0)
    model: str = _setting("cnn", "model that answers when a request names none")
    runtime: Literal["auto", "litert", "tensorflow"] = _setting(
        "auto",
        "what computes explanations; auto = LiteRT, but TensorFlow on a GPU and for versions that lack LiteRT files",
    )
    device: Literal["auto", "cpu", "gpu"] = _setting(
        "auto", "where TensorFlow computes explanations; auto = a GPU if there is one"
    )
    explain: Literal["on", "off"] = _setting("on", "off = predictions only; TensorFlow is then never imported")
    interpreter_bytes: int = _setting(
        64 * MIB,
        "bytes of LiteRT interpreters that a process keeps for explanations; the least recently used go out",
        MIB,
    )
    max_body_bytes: int = _setting(12 * MIB, "bytes of a request's body at most", 1024)
    max_images: int = _setting(64, "pictures in one request at most", 1)
    max_rows: int = _setting(1024, "rows of a tensor, each a picture, in one request at most", 1)
    max_budget_ms: int = _setting(30_000, "milliseconds that one request may explain for at most", 1)
    explain_slots: int = _setting(
        4, "requests that a process explains at once, others being answered 503; fewer than threads", 1
    )
    grace: int = _setting(45, "seconds that a stop waits for what is being answered", 1)
    run_dir: Path | None = _setting(
        None, "folder that the processes of one server share while it runs; default a temporary one, removed in the end"
    )
    state: str | None = _setting(
        None,
        "state that machines share: redis://HOST:PORT/DB, valkey://... or unix://PATH; default each alone",
        like=STATE,
    )
    keep: Literal["on", "off"] = _setting(
        "on", "off = no explanation is kept, and nothing of a picture after its answer"
    )
    keep_seconds: int = _setting(0, "seconds that an explanation is kept at most; 0 = until newer ones need the room")
    records: Path | None = _setting(
        None, "file that explanations are kept in; default one in the folder that the processes share"
    )
    records_bytes: int = _setting(256 * MIB, "bytes of that file at most; the oldest explanations go out", 4 * MIB)
    feedback: Path | None = _setting(
        None, "file that POST /v1/feedback adds pictures with their right labels to; without it none are collected"
    )
    feedback_bytes: int = _setting(64 * MIB, "bytes of that file at most; a digit takes some 1.2 kB", 4096)
    jobs: Path | None = _setting(
        None, "folder of jobs that POST /v1/jobs takes, many pictures each; without it none are taken"
    )
    job_bytes: int = _setting(256 * MIB, "bytes of what is sent for a job at most", 1024)
    job_rows: int = _setting(100_000, "pictures of a job at most", 1)
    job_workers: int = _setting(
        1,
        "processes that compute a job, one job at a time; 0 = none here, where another server has the same folder",
        0,
        512,
    )
    job_memory_mib: int = _setting(
        4096, "MiB of memory that each process of a job may take; not bounded with a GPU", 512
    )
    job_seconds: int = _setting(86_400, "seconds that the result of a job is kept", 1)
    job_sources: str | None = _setting(
        None,
        "addresses below which a job may name its pictures, such as s3://bucket/in,s3://other; default none",
        like=rf"{ADDRESS_LIKE}(,{ADDRESS_LIKE})*",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _setting("INFO", "least severity that is logged")
    log_format: Literal["text", "json"] = _setting("text", "json = one JSON object a line")
    access_log: Literal["on", "off"] = _setting("off", "on = a line for every request")
    traces: str | None = _setting(
        None,
        "collector that gets spans of explanations, by OTLP over HTTP, such as http://collector:4318; default none",
        like=COLLECTOR,
    )
    keys_file: Path | None = _setting(
        None, "file with the API keys, a line each (`python -m server key`); without it everybody may ask"
    )
    repository: Literal["keys", "open", "off"] = _setting(
        "keys",
        "who may load and unload models; keys = who has a key of scope admin, open = everybody where no keys are set",
    )
    hosts: str | None = _setting(
        None,
        "names of this server that are answered, without ports, such as ink.example,*.ink.example,[::1]; default all",
        like=rf"{HOST_NAME}(,{HOST_NAME})*",
    )
    link_secret: str | None = _setting(
        None,
        "signs links, 16 characters at least; the same on all machines behind one address; default a random one",
        like=r".{16,}",
        secret=True,
    )
    link_seconds: int = _setting(600, "seconds that a signed link is good for", 1, 7 * 24 * 3600)
    rate_limit: str | None = _setting(
        None, "requests of one key, or one address, such as 60/minute or 5/second;1000/day", like=f"{RATE}(;{RATE})*"
    )
    rate_limit_storage: str = _setting(
        "memory://",
        "where they are counted, such as redis://HOST:PORT, if not in INKLING_STATE",
        like=STORAGE,
    )
    cors_origins: str | None = _setting(
        None,
        "whose pages may ask, such as https://a.example,https://b.example or *; default none",
        like=rf"\*|{ORIGIN}(,{ORIGIN})*",
    )
    frame_ancestors: str = _setting(
        "*",
        "whose pages may show /embed in a frame, such as https://a.example,https://b.example or *",
        like=rf"\*|{ORIGIN}(,{ORIGIN})*",
    )
    proxies: int = _setting(0, "proxies in front whose X-Forwarded-For is believed where addresses are counted", 0, 10)

    # How the threads of a process are divided: threads in slots, threads that wait for others' explanations and threads
    # that read uploads always leave some for predictions.

    @property
    def limits_storage(self) -> str:
        """Where requests are counted: as set, else in the state that machines share."""
        is_set = self.rate_limit_storage != "memory://"
        return self.rate_limit_storage if is_set or self.state is None else self.state

    @property
    def max_waiters(self) -> int:
        """Requests that may wait for others' explanations: half of the threads beside the slots."""
        return max(0, self.threads - self.explain_slots) // 2

    @property
    def max_uploads(self) -> int:
        """Requests whose bodies threads may read from slow clients: half of the threads that are left."""
        taken = self.explain_slots + self.max_waiters if self.explain == "on" else 0
        return max(1, (self.threads - taken) // 2)

    @staticmethod
    def from_env(environ: Mapping[str, str] | None = None) -> "Settings":
        """Settings from INKLING_* variables.

        Raises:
            SettingsError: an unknown variable with the prefix, or a value that cannot be used.
        """
        environ = os.environ if environ is None else environ
        known = {PREFIX + one.name.upper(): one for one in fields(Settings)}
        given = {key: raw for key, raw in environ.items() if key.startswith(PREFIX) and key not in ELSEWHERE}
        if unknown := sorted(set(given) - set(known)):
            near = get_close_matches(unknown[0], known, 1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise SettingsError(f"unknown setting {unknown[0]}; {meant}known are {', '.join(known)}")
        hints = get_type_hints(Settings)
        settings = Settings(
            **{
                known[key].name: _read(key, raw, hints[known[key].name], known[key].metadata)
                for key, raw in given.items()
            }
        )
        if settings.runtime == "litert" and settings.device == "gpu":
            raise SettingsError(
                f"{PREFIX}RUNTIME=litert computes on the processor and {PREFIX}DEVICE=gpu asks for a GPU; expected "
                f"{PREFIX}RUNTIME=tensorflow or auto, or another device"
            )
        if settings.explain == "on" and settings.explain_slots >= settings.threads:
            raise SettingsError(
                f"{PREFIX}EXPLAIN_SLOTS={settings.explain_slots} leaves no thread for predictions; expected fewer than "
                f"{PREFIX}THREADS={settings.threads}"
            )
        return settings


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
    optional = type(None) in get_args(hint)
    if not raw and optional:
        return None
    if not raw:
        raise SettingsError(f"{key} is empty; expected {facts['about']}")
    if facts["like"] and not re.fullmatch(facts["like"], raw):
        got = "a value that cannot be used" if facts["secret"] else repr(_masked(raw)[:100])
        raise SettingsError(f"{key} is {got}; expected {facts['about']}")
    return Path(raw) if Path in (hint, *get_args(hint)) else raw


@dataclass(frozen=True)
class Shown:
    """One setting as `python -m server config` shows it; of a secret only that it is set."""

    variable: str
    value: str | int | None
    source: Literal["default", "environment"]
    about: str


def shown_settings(settings: Settings, environ: Mapping[str, str] | None = None) -> list[Shown]:
    """Every setting, in the order of the table."""
    environ = os.environ if environ is None else environ
    rows = []
    for one in fields(Settings):
        variable, value = PREFIX + one.name.upper(), getattr(settings, one.name)
        if one.metadata["secret"] and value is not None:
            value = HIDDEN
        elif not isinstance(value, int | None):
            value = _masked(str(value))
        rows.append(Shown(variable, value, "environment" if variable in environ else "default", one.metadata["about"]))
    return rows


HIDDEN = "********"
IN_ADDRESS = re.compile(r"(?<=://).*(?=@)|(?<=\?).*")  # redis://user:password@host, redis://host?password=password


def _masked(text: str) -> str:
    return IN_ADDRESS.sub(HIDDEN, text)


def settings_table() -> str:
    """The rows of the table of settings in docs/configuration.md."""
    rows, hints = [], get_type_hints(Settings)
    for one in fields(Settings):
        about, accepted = one.metadata["about"], hints[one.name]
        if get_origin(accepted) is Literal:
            about += f" (one of {', '.join(f'`{choice}`' for choice in get_args(accepted))})"
        rows.append(f"| `{PREFIX}{one.name.upper()}` | {'' if one.default is None else one.default} | {about} |")
    return "\n".join(rows)
