"""Settings from variables: every kind of value, and what is said of one that cannot be used."""

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from server.config import Settings, SettingsError


def test_without_variables_every_field_has_its_default() -> None:
    assert Settings.from_env({}) == Settings()
    assert Settings.from_env({"PATH": "/bin", "XINKLING_PORT": "x", "inkling_port": "x"}) == Settings()


@pytest.mark.parametrize(
    ("variable", "raw", "field", "value"),
    [
        ("INKLING_HOST", "0.0.0.0", "host", "0.0.0.0"),
        ("INKLING_PORT", "9000", "port", 9000),
        ("INKLING_PORT", "1", "port", 1),
        ("INKLING_WORKERS", "0", "workers", 0),
        ("INKLING_THREADS", "5", "threads", 5),
        ("INKLING_MODEL_STORE", "some/where", "model_store", Path("some/where")),
        ("INKLING_MODEL", "lstm", "model", "lstm"),
        ("INKLING_VERSIONS", "latest:2", "versions", "latest:2"),
        ("INKLING_VERSIONS", "cnn=latest:2;mlp=specific:1,3", "versions", "cnn=latest:2;mlp=specific:1,3"),
        ("INKLING_POLL_MS", "0", "poll_ms", 0),
        ("INKLING_DEVICE", "cpu", "device", "cpu"),
        ("INKLING_EXPLAIN", "off", "explain", "off"),
        ("INKLING_MAX_BODY_BYTES", "1024", "max_body_bytes", 1024),
        ("INKLING_MAX_IMAGES", "1", "max_images", 1),
        ("INKLING_MAX_BUDGET_MS", "5", "max_budget_ms", 5),
        ("INKLING_EXPLAIN_SLOTS", "15", "explain_slots", 15),
        ("INKLING_GRACE", "1", "grace", 1),
        ("INKLING_RUN_DIR", "run/here", "run_dir", Path("run/here")),
        ("INKLING_KEEP", "off", "keep", "off"),
        ("INKLING_KEEP_SECONDS", "60", "keep_seconds", 60),
        ("INKLING_RECORDS", "kept/here.sqlite", "records", Path("kept/here.sqlite")),
        ("INKLING_RECORDS_BYTES", "4194304", "records_bytes", 4 << 20),
        ("INKLING_LOG_LEVEL", "DEBUG", "log_level", "DEBUG"),
        ("INKLING_LOG_FORMAT", "json", "log_format", "json"),
        ("INKLING_ACCESS_LOG", "on", "access_log", "on"),
        ("INKLING_KEYS_FILE", "some/keys", "keys_file", Path("some/keys")),
        ("INKLING_KEYS_FILE", "", "keys_file", None),
        ("INKLING_LINK_SECRET", "sixteen letters.", "link_secret", "sixteen letters."),
        ("INKLING_LINK_SECONDS", "60", "link_seconds", 60),
        ("INKLING_RATE_LIMIT", "60/minute", "rate_limit", "60/minute"),
        ("INKLING_RATE_LIMIT", "5/second;1000/day", "rate_limit", "5/second;1000/day"),
        ("INKLING_RATE_LIMIT", "", "rate_limit", None),
        (
            "INKLING_RATE_LIMIT_STORAGE",
            "redis://me:pass@host:6379/0",
            "rate_limit_storage",
            "redis://me:pass@host:6379/0",
        ),
        ("INKLING_CORS_ORIGINS", "*", "cors_origins", "*"),
        (
            "INKLING_CORS_ORIGINS",
            "https://a.example,http://[::1]:80",
            "cors_origins",
            "https://a.example,http://[::1]:80",
        ),
        ("INKLING_CORS_ORIGINS", "", "cors_origins", None),
        ("INKLING_PROXIES", "1", "proxies", 1),
        ("INKLING_REPOSITORY", "off", "repository", "off"),
        ("INKLING_HOSTS", "ink.example,*.a.example,.b.example", "hosts", "ink.example,*.a.example,.b.example"),
        ("INKLING_HOSTS", "[::1],10.0.0.1,my_host", "hosts", "[::1],10.0.0.1,my_host"),
        ("INKLING_HOSTS", "", "hosts", None),
    ],
)
def test_each_variable_sets_its_field_alone(variable: str, raw: str, field: str, value: Any) -> None:
    settings = Settings.from_env({variable: raw})
    assert settings == Settings(**{field: value})
    default = getattr(Settings(), field)
    assert default is None or type(getattr(settings, field)) is type(default)


@pytest.mark.parametrize(
    ("variable", "raw", "words"),
    [
        ("INKLING_PORT", "http", "whole number from 1 to 65535"),
        ("INKLING_PORT", "0", "whole number from 1 to 65535"),
        ("INKLING_PORT", "-1", "whole number from 1 to 65535"),
        ("INKLING_PORT", "--1", "whole number from 1 to 65535"),
        ("INKLING_PORT", "80.5", "whole number"),
        ("INKLING_PORT", "", "whole number"),
        ("INKLING_PORT", " 80", "whole number"),
        ("INKLING_PORT", "9" * 5000, "whole number"),
        ("INKLING_WORKERS", "-1", "at least 0"),
        ("INKLING_THREADS", "0", "at least 1"),
        ("INKLING_MAX_BODY_BYTES", "1023", "at least 1024"),
        ("INKLING_MAX_IMAGES", "many", "at least 1"),
        ("INKLING_MAX_BUDGET_MS", "inf", "at least 1"),
        ("INKLING_DEVICE", "GPU", "auto, cpu, gpu"),
        ("INKLING_EXPLAIN", "true", "on, off"),
        ("INKLING_LOG_LEVEL", "debug", "DEBUG, INFO, WARNING, ERROR"),
        ("INKLING_LOG_FORMAT", "xml", "text, json"),
        ("INKLING_LINK_SECRET", "fifteen letters", "16 characters"),
        ("INKLING_LINK_SECONDS", "0", "from 1 to 604800"),
        ("INKLING_RATE_LIMIT", "60", "60/minute"),
        ("INKLING_RATE_LIMIT", "0/minute", "60/minute"),
        ("INKLING_RATE_LIMIT", "60/minutes", "60/minute"),
        ("INKLING_RATE_LIMIT", "60/minute;", "60/minute"),
        ("INKLING_RATE_LIMIT_STORAGE", "", "redis://HOST:PORT"),
        ("INKLING_RATE_LIMIT_STORAGE", "localhost:6379", "redis://HOST:PORT"),
        ("INKLING_RATE_LIMIT_STORAGE", "memory://x", "redis://HOST:PORT"),
        ("INKLING_CORS_ORIGINS", "a.example", "https://a.example"),
        ("INKLING_CORS_ORIGINS", "https://a.example/", "https://a.example"),
        ("INKLING_CORS_ORIGINS", "https://a.example, https://b.example", "https://a.example"),
        ("INKLING_CORS_ORIGINS", "https://a.example,*", "https://a.example"),
        ("INKLING_KEEP", "no", "on, off"),
        ("INKLING_REPOSITORY", "closed", "keys, open, off"),
        ("INKLING_HOSTS", "*", "ink.example"),
        ("INKLING_HOSTS", "ink.example:8000", "without ports"),
        ("INKLING_HOSTS", "https://ink.example", "ink.example"),
        ("INKLING_HOSTS", "a.example, b.example", "ink.example"),
        ("INKLING_HOSTS", "::1", "[::1]"),
        ("INKLING_RECORDS_BYTES", "4194303", "at least 4194304"),
        ("INKLING_HOST", "", "address to listen on"),
        ("INKLING_MODEL", "", "model that answers"),
        ("INKLING_VERSIONS", "newest", "latest:2"),
        ("INKLING_VERSIONS", "latest:0", "latest:2"),
        ("INKLING_VERSIONS", "all,all", "latest:2"),
        ("INKLING_VERSIONS", "", "latest:2"),
        ("INKLING_POLL_MS", "soon", "whole number"),
        ("INKLING_MODEL_STORE", "", "folder with the models"),
    ],
)
def test_error_says_what_value_was_expected(variable: str, raw: str, words: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_env({variable: raw})
    assert variable in str(raised.value) and words in str(raised.value)


@pytest.mark.parametrize(
    "variables", [{"EXPLAIN_SLOTS": "16"}, {"THREADS": "4"}, {"EXPLAIN_SLOTS": "9", "THREADS": "8"}]
)
def test_explanations_leave_threads_for_predictions(variables: dict[str, str]) -> None:
    given = {f"INKLING_{name}": value for name, value in variables.items()}
    with pytest.raises(SettingsError) as raised:
        Settings.from_env(given)
    assert "INKLING_EXPLAIN_SLOTS" in str(raised.value) and "INKLING_THREADS" in str(raised.value)
    assert Settings.from_env({**given, "INKLING_EXPLAIN": "off"}).explain == "off"


def test_error_names_the_known_variables() -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_env({"INKLING_PORTS": "80", "INKLING_PORT": "80"})
    assert "INKLING_PORTS" in str(raised.value) and "INKLING_PORT," in str(raised.value)
    assert "did you mean INKLING_PORT?" in str(raised.value)


def test_variables_of_others_with_our_prefix_are_left_alone() -> None:
    assert Settings.from_env({"INKLING_MNIST": "mnist.npz", "INKLING_WORKER": "3"}) == Settings()


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize("explain", ["on", "off"])
@pytest.mark.parametrize(("threads", "slots"), [(2, 1), (3, 1), (16, 4), (12, 2), (64, 4), (5, 4)])
def test_threads_are_left_to_predictions(threads: int, slots: int, explain: Any) -> None:
    settings = Settings(threads=threads, explain_slots=slots, explain=explain)
    assert settings.max_waiters == (threads - slots) // 2  # also where every explanation is refused
    taken = settings.max_waiters + slots if explain == "on" else 0
    assert settings.max_uploads >= 1 and settings.max_uploads <= max(1, threads // 2)
    assert taken + settings.max_uploads < threads or threads - taken == 1
