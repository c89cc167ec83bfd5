"""Checks before the first worker starts: a mistake in the settings stops the start with one line, not with a traceback
from every worker.
"""

import importlib.util
import os
import resource
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

from server.auth.keys import read_keys
from server.config import Settings, SettingsError
from server.rollout.shares import parse_shares

if TYPE_CHECKING:
    from server.models.trust import Trust

MOST_CONNECTIONS = 1000  # of one worker
OTHER_FILES = 128  # that a worker has open beside its connections: models, records, metrics, pictures in forms
CLIENTS = {"redis": "redis", "rediss": "redis", "redis+unix": "redis", "memcached": "pymemcache"}
SOURCES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "http": "aiohttp",
    "https": "aiohttp",
    "az": "adlfs",
    "abfs": "adlfs",
}


def count_workers(settings: Settings) -> int:
    """How many processes serve."""
    return settings.workers or count_gpus(settings) or min(4, os.cpu_count() or 1)


def count_gpus(settings: Settings) -> int:
    """How many GPUs TensorFlow may use, as far as can be told without importing it."""
    if settings.device == "cpu" or settings.runtime == "litert" or settings.explain == "off" or not has_tensorflow():
        return 0
    return len(glob("/dev/nvidia[0-9]*"))


def has_tensorflow() -> bool:
    """Whether TensorFlow is installed; nothing is imported."""
    return importlib.util.find_spec("tensorflow") is not None


def prefers_tensorflow(settings: Settings) -> bool:
    """Whether TensorFlow computes all explanations, also of versions that have LiteRT files."""
    if settings.explain == "off" or settings.runtime == "litert" or not has_tensorflow():
        return False
    return settings.runtime == "tensorflow" or settings.device == "gpu" or count_gpus(settings) > 0


def connections(threads: int) -> int:
    """How many a worker may hold: as many as it can have files open for, since one more would end it. The system's soft
    limit is raised for that as far as it may be."""
    wanted_files = MOST_CONNECTIONS + OTHER_FILES + threads  # a thread may have a picture in a file
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted_files:
        soft = wanted_files if hard == resource.RLIM_INFINITY else min(wanted_files, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    room = MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else soft - OTHER_FILES - threads
    return max(threads, min(MOST_CONNECTIONS, room))


def check(settings: Settings, workers: int) -> None:
    """Refuse settings that would fail later.

    Raises:
        SettingsError: what it is, what was expected, and how to get there.
    """
    if settings.keys_file is not None:
        read_keys(settings.keys_file)
    if (settings.runtime == "tensorflow" or settings.device == "gpu") and not has_tensorflow():
        raise SettingsError(
            "INKLING_RUNTIME=tensorflow and INKLING_DEVICE=gpu need TensorFlow, which is not installed; expected "
            "INKLING_RUNTIME=litert or auto, or `pip install -r requirements.txt`"
        )
    _check_source(settings)
    _check_jobs(settings)
    for variable, given in (("CANARY", settings.canary), ("SHADOW", settings.shadow)):
        try:
            parse_shares(given or "") if given else None
        except ValueError as error:
            raise SettingsError(f"INKLING_{variable}: {error}") from error
    _check_state(settings)
    if settings.traces is not None:
        _check_tracing()
    if settings.rate_limit is None:
        return
    scheme = settings.limits_storage.partition("://")[0]
    if scheme == "memory" and workers > 1:
        raise SettingsError(
            f"INKLING_RATE_LIMIT={settings.rate_limit} cannot be counted in INKLING_RATE_LIMIT_STORAGE=memory://, "
            f"because {workers} workers would each count alone; expected redis://HOST:PORT, or INKLING_WORKERS=1"
        )
    client = CLIENTS.get(scheme)
    if client is not None and importlib.util.find_spec(client) is None:
        raise SettingsError(
            f"INKLING_RATE_LIMIT_STORAGE={scheme}://... needs the package {client}; `pip install {client}`"
        )


def _check_state(settings: Settings) -> None:
    """Check what machines are to share. Raises SettingsError."""
    if settings.shadow is not None and settings.keep == "off":
        raise SettingsError(
            "INKLING_SHADOW holds a picture until it is compared, and INKLING_KEEP=off says that nothing of one is "
            "held after its answer; expected one of them alone"
        )
    if settings.state is None:
        return
    if importlib.util.find_spec("redis") is None:
        raise SettingsError("INKLING_STATE needs the package redis; `pip install redis`")
    from server.state.connection import Connection

    try:
        Connection(settings.state).close()
    except (ValueError, TypeError, OSError) as error:
        given = f"INKLING_STATE={settings.state.partition('://')[0]}://..."
        raise SettingsError(f"{given} cannot be used ({type(error).__name__}); expected HOST:PORT") from None


def _check_jobs(settings: Settings) -> None:
    """Check what jobs of many pictures need. Raises SettingsError."""
    if settings.jobs is None:
        return
    if settings.explain == "off":
        raise SettingsError(
            "INKLING_JOBS explains pictures and INKLING_EXPLAIN=off does not; expected one of them alone"
        )
    if settings.keep == "off":
        raise SettingsError(
            "INKLING_JOBS keeps pictures until their job is done, and what came out for INKLING_JOB_SECONDS; "
            "INKLING_KEEP=off says that nothing of a picture is held after its answer; expected one of them alone"
        )
    try:
        settings.jobs.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"INKLING_JOBS={settings.jobs} cannot be a folder ({error.strerror}); name another"
        ) from error
    schemes = [one.partition("://")[0] for one in (settings.job_sources or "").split(",") if one]
    needed = dict.fromkeys(["pyarrow", *("fsspec" for _ in schemes), *(SOURCES.get(one, "fsspec") for one in schemes)])
    for package in needed:
        if importlib.util.find_spec(package) is None:
            raise SettingsError(f"INKLING_JOBS needs the package {package} here; `pip install {package}`")


def _check_tracing() -> None:
    """Raises SettingsError where what makes and sends spans is not installed."""
    for package in ("sdk", "exporter.otlp.proto.http"):
        try:
            found = importlib.util.find_spec(f"opentelemetry.{package}")
        except ModuleNotFoundError:  # what it lies in is not there
            found = None
        if found is None:
            name = f"opentelemetry-{package.replace('.', '-')}"
            raise SettingsError(
                f"INKLING_TRACES needs the package {name}; `pip install -r requirements-otel.txt` gets all it needs"
            )


def _check_source(settings: Settings) -> None:
    """Check what a store elsewhere and signed versions need. Raises SettingsError."""
    if settings.model_source is not None:
        scheme = settings.model_source.partition("://")[0]
        for package in ("fsspec", SOURCES.get(scheme, "fsspec")):
            if importlib.util.find_spec(package) is None:
                raise SettingsError(
                    f"INKLING_MODEL_SOURCE={scheme}://... needs the package {package}; `pip install {package}`, or "
                    "`pip install -r requirements-cluster.txt` for fsspec and s3fs"
                )
        _check_scheme(scheme)
    if settings.trust is not None:
        if importlib.util.find_spec("cryptography") is None:
            raise SettingsError("INKLING_TRUST needs the package cryptography; `pip install cryptography`")
        read_trust(settings.trust)


def _check_scheme(scheme: str) -> None:
    from fsspec import available_protocols

    if scheme not in available_protocols():
        raise SettingsError(
            f"INKLING_MODEL_SOURCE={scheme}://... is of no kind that fsspec knows; expected s3, gs, ..."
        )


def read_trust(path: Path) -> "Trust":
    """The keys that INKLING_TRUST names. Raises SettingsError."""
    from server.models.trust import Trust

    try:
        return Trust.read(path)
    except ValueError as error:
        raise SettingsError(f"INKLING_TRUST={error}") from error
