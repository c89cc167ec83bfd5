"""What a store elsewhere, signed versions and spans need is checked before the first worker starts."""

import sys
from pathlib import Path
from typing import Any

import pytest

from server.config import Settings, SettingsError
from server.process.preflight import check
from training.store.signing import new_key


@pytest.mark.parametrize(
    ("source", "package"),
    [("gs://bucket/store", "gcsfs"), ("az://bucket/store", "adlfs")],
)
def test_a_client_that_is_not_installed_is_named(source: str, package: str) -> None:
    with pytest.raises(SettingsError, match=rf"needs the package {package}; `pip install {package}`"):
        check(Settings(model_source=source), 1)


def test_an_unknown_kind_of_store_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"INKLING_MODEL_SOURCE=zz://\.\.\. is of no kind"):
        check(Settings(model_source="zz://bucket/store"), 1)


@pytest.mark.parametrize("source", ["s3://bucket/store", "file:///store", "https://host/store"])
def test_what_is_installed_starts(source: str) -> None:
    check(Settings(model_source=source), 1)


NO_KEY = b"-----BEGIN PUBLIC KEY-----\nAA\n-----END PUBLIC KEY-----"


@pytest.mark.parametrize("content", [b"", b"ssh-ed25519 AAAA", NO_KEY])
def test_a_file_without_keys_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "keys").write_bytes(content)
    with pytest.raises(SettingsError, match="INKLING_TRUST="):
        check(Settings(trust=tmp_path / "keys"), 1)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        check(Settings(trust=tmp_path / "keys"), 1)


def test_several_keys_in_one_file_are_trusted(tmp_path: Path) -> None:
    public = [new_key(tmp_path / name) for name in ("one", "two")]
    (tmp_path / "keys").write_bytes(b"".join(path.read_bytes() for path in public))
    check(Settings(trust=tmp_path / "keys"), 1)


def test_a_state_that_cannot_be_addressed_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"INKLING_STATE=redis://\.\.\. cannot be used"):
        check(Settings(state="redis://host:port"), 1)


@pytest.mark.parametrize("state", ["redis+unix:///x.sock", "redis://host/0?decode_responses=true", "tcp://host"])
def test_other_addresses_of_a_state_are_refused(state: str) -> None:
    with pytest.raises(SettingsError, match="redis://HOST:PORT/DB"):
        Settings.from_env({"INKLING_STATE": state})


@pytest.mark.parametrize("state", ["redis://host", "valkey://user:secret@host:1/2", "rediss://host", "unix:///x.sock"])
def test_addresses_of_a_state_start(state: str) -> None:
    check(Settings.from_env({"INKLING_STATE": state}), 1)


@pytest.mark.parametrize("source", ["s3://", "file://", "s3:/bucket", "models"])
def test_what_is_no_address_of_a_store_is_refused(source: str) -> None:
    with pytest.raises(SettingsError, match="INKLING_MODEL_SOURCE"):
        Settings.from_env({"INKLING_MODEL_SOURCE": source})


def test_a_shadow_keeps_what_keeping_nothing_forbids() -> None:
    with pytest.raises(SettingsError, match="expected one of them alone"):
        check(Settings(shadow="cnn@canary:0.1", keep="off"), 1)


@pytest.mark.parametrize("package", ["opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter"])
def test_spans_need_packages(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)  # to Python, a package that cannot be imported
    missing = "exporter-otlp-proto-http" if package.endswith("exporter") else "sdk"
    words = rf"INKLING_TRACES needs the package opentelemetry-{missing}; `pip install -r requirements-otel.txt`"
    with pytest.raises(SettingsError, match=words):
        check(Settings(traces="http://collector:4318"), 1)


@pytest.mark.parametrize(
    "address", ["http://collector:4318", "https://user:secret@collector/otlp", "http://[::1]:4318/"]
)
def test_addresses_of_a_collector_start(address: str) -> None:
    check(Settings.from_env({"INKLING_TRACES": address}), 1)


@pytest.mark.parametrize(
    "address", ["collector:4318", "grpc://collector:4317", "http://", "http:///v1/traces", "http://a b"]
)
def test_what_is_no_address_of_a_collector_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match=r"INKLING_TRACES.*such as http://collector:4318"):
        Settings.from_env({"INKLING_TRACES": address})


@pytest.mark.parametrize("beside", [{"keep": "off"}, {"explain": "off"}])
def test_jobs_beside_what_excludes_them_are_refused(tmp_path: Path, beside: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=rf"INKLING_JOBS.*INKLING_{next(iter(beside)).upper()}=off"):
        check(Settings(jobs=tmp_path, **beside), 1)
    check(Settings(jobs=tmp_path, job_sources="s3://scans"), 1)
