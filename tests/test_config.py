"""Settings from variables: every kind of value, and what is said of one that can not be used."""

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
        ("INKLING_THREADS", "3", "threads", 3),
        ("INKLING_MODEL_STORE", "some/where", "model_store", Path("some/where")),
        ("INKLING_MODEL", "lstm", "model", "lstm"),
        ("INKLING_DEVICE", "cpu", "device", "cpu"),
        ("INKLING_EXPLAIN", "off", "explain", "off"),
        ("INKLING_MAX_BODY_BYTES", "1024", "max_body_bytes", 1024),
        ("INKLING_MAX_IMAGES", "1", "max_images", 1),
        ("INKLING_MAX_BUDGET_MS", "5", "max_budget_ms", 5),
        ("INKLING_LOG_LEVEL", "DEBUG", "log_level", "DEBUG"),
    ],
)
def test_each_variable_sets_its_field_alone(variable: str, raw: str, field: str, value: Any) -> None:
    settings = Settings.from_env({variable: raw})
    assert settings == Settings(**{field: value})
    assert type(getattr(settings, field)) is type(getattr(Settings(), field))


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
        ("INKLING_HOST", "", "address to listen on"),
        ("INKLING_MODEL", "", "model that answers"),
        ("INKLING_MODEL_STORE", "", "folder with the models"),
    ],
)
def test_a_value_that_can_not_be_used_is_told_with_what_was_expected(variable: str, raw: str, words: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_env({variable: raw})
    assert variable in str(raised.value) and words in str(raised.value)


def test_a_misspelt_variable_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_env({"INKLING_PORTS": "80", "INKLING_PORT": "80"})
    assert "INKLING_PORTS" in str(raised.value) and "INKLING_PORT," in str(raised.value)


def test_variables_of_others_with_our_prefix_are_left_alone() -> None:
    assert Settings.from_env({"INKLING_MNIST": "mnist.npz", "INKLING_WORKER": "3"}) == Settings()


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]
