"""Starting, and the commands for operators: one line for a mistake, settings shown without secrets,
keys made; and two real workers that count, log and guard as one server.
"""

import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner
from gunicorn.util import parse_address

from server.__main__ import main
from server.auth.keys import read_keys
from server.config import Settings, shown_settings
from server.models.repository.store import LOAD_TIMEOUT, RELOAD_TIMEOUT
from server.scheduling.shared_task import OVERRUN
from tests.auth.test_keys import bearer, write_keys
from tests.faults.processes import workers
from tests.support.clock import PATIENCE
from tests.support.models.nets import card, numbers_of
from tests.support.processes.servers import ROOT, Running, ask, serving
from tests.test_metrics import Numbers, number, parsed

SEVEN = (ROOT / "examples" / "7.png").read_bytes()


@pytest.mark.parametrize(("settings", "words"), [
    ({"PORT": "http"}, "INKLING_PORT='http'; expected a whole number from 1 to 65535"),
    ({"KEY_FILE": "keys"}, "unknown setting INKLING_KEY_FILE; did you mean INKLING_KEYS_FILE?"),
    ({"KEYS_FILE": "/nowhere/keys"}, "INKLING_KEYS_FILE='/nowhere/keys' cannot be read"),
    ({"RATE_LIMIT": "5/minute", "WORKERS": "2"}, "2 workers would each count alone"),
    ({"RUN_DIR": "/proc/nowhere"}, "/proc/nowhere"),
])  # fmt: skip
def test_a_mistake_stops_the_start_with_one_line(settings: dict[str, str], words: str) -> None:
    others = {key: value for key, value in os.environ.items() if not key.startswith("INKLING_")}
    environment = {**others, **{f"INKLING_{key}": value for key, value in settings.items()}}
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if "Starting gunicorn" not in line]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("Inkling does not start: ") and words in lines[0]


def command(*arguments: str, **environ: str) -> Any:
    clean = {key: None for key in os.environ if key.startswith("INKLING_")}
    return CliRunner().invoke(main, list(arguments), env={**clean, **environ}, prog_name="python -m server")


def test_config_shows_every_setting_and_where_it_is_from() -> None:
    secret = "no one shall read this"
    given = {
        "INKLING_LINK_SECRET": secret, "INKLING_PORT": "9000", "INKLING_RATE_LIMIT_STORAGE": "redis://me:pass@host:1",
    }  # fmt: skip
    done = command("config", "--json", **given)
    rows = {row["variable"]: row for row in json.loads(done.stdout)}
    assert list(rows) == [row.variable for row in shown_settings(Settings(), {})]
    assert {row["source"] for variable, row in rows.items() if variable in given} == {"environment"}
    assert {row["source"] for variable, row in rows.items() if variable not in given} == {"default"}
    assert rows["INKLING_PORT"]["value"] == 9000 and rows["INKLING_KEYS_FILE"]["value"] is None
    assert rows["INKLING_LINK_SECRET"]["value"] == "********"
    assert rows["INKLING_RATE_LIMIT_STORAGE"]["value"] == "redis://********@host:1"
    assert all(row["about"] for row in rows.values())

    for_people = command("config", **given)
    assert for_people.exit_code == 0 and len(for_people.stdout.splitlines()) == len(rows)
    line = next(line for line in for_people.stdout.splitlines() if line.startswith("INKLING_PORT"))
    assert line.split()[:3] == ["INKLING_PORT", "9000", "environment"] and line.endswith("port to listen on")
    for output in (done.output, for_people.output):
        assert secret not in output and "pass" not in output.replace("predict", "")


@pytest.mark.parametrize("given", [
    {"INKLING_PORT": "x"}, {"INKLING_KEYS_FILE": "/nowhere"}, {"INKLING_RATE_LIMIT": "1/day", "INKLING_WORKERS": "2"},
])  # fmt: skip
def test_config_fails_where_the_start_would(given: dict[str, str]) -> None:
    done = command("config", **given)
    assert done.exit_code == 1 and done.stdout == ""
    assert done.stderr.startswith(f"Error: {next(iter(given))}") and len(done.stderr.splitlines()) == 1


def test_an_invalid_secret_is_not_shown_either() -> None:
    done = command("config", INKLING_LINK_SECRET="swordfish")
    assert done.exit_code == 1 and "16 characters" in done.stderr and "swordfish" not in done.output


@pytest.mark.parametrize("place", ["redis://me:sword/fish@host:1/0", "redis://host:1?db=0&password=sword/fish"])
def test_what_opens_a_storage_is_not_shown_wherever_it_stands(place: str) -> None:
    done = command("config", INKLING_RATE_LIMIT_STORAGE=place)
    assert done.exit_code == 0 and "redis://" in done.output and "host:1" in done.output
    wrong = command("config", INKLING_RATE_LIMIT_STORAGE=place.replace("redis", "postgres"))
    assert wrong.exit_code == 1 and "postgres://" in wrong.output
    assert "fish" not in done.output + wrong.output


def test_key_makes_a_key_whose_line_can_be_appended(tmp_path: Path) -> None:
    one, two = command("key", "web"), command("key", "boss", "--scopes", "admin,predict")
    path = tmp_path / "keys"
    path.write_text(one.stdout + two.stdout)
    web, boss = read_keys(path)
    assert (web.name, web.scopes) == ("web", {"predict", "explain"})
    assert (boss.name, boss.scopes) == ("boss", {"predict", "admin"})
    secret = one.stderr.split()[0]
    assert secret.startswith("ink_") and secret not in one.stdout


@pytest.mark.parametrize("arguments", [
    ("key", "a b"), ("key", "web", "--scopes", "root"), ("key", "web", "--scopes", ""),
])  # fmt: skip
def test_key_refuses_what_the_file_would(arguments: tuple[str, ...]) -> None:
    done = command(*arguments)
    assert done.exit_code == 1 and done.stdout == "" and done.stderr.startswith("Error: the new key")


def test_help_is_there_at_once_because_nothing_is_imported_for_it() -> None:
    script = (
        "import sys, server.__main__\n"
        "heavy = {'flask', 'numpy', 'tensorflow', 'server.auth.keys', 'server.config'}\n"
        "sys.exit(str(sorted(heavy & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"


def test_nginx_is_set_for_what_it_stands_before() -> None:
    site, gunicorn = (ROOT / "deploy" / "nginx.conf").read_text(), runpy.run_path(str(ROOT / "gunicorn.conf.py"))

    def reported(pattern: str) -> int:
        (found,) = re.findall(pattern, site)
        return int(found)

    assert reported(r"client_max_body_size (\d+)m;\s+# INKLING_MAX_BODY_BYTES") << 20 == Settings().max_body_bytes
    assert reported(r"client_max_body_size (\d+)m;\s+# INKLING_JOB_BYTES") << 20 == Settings().job_bytes
    assert reported(r"keepalive \d+;\s+keepalive_timeout (\d+)s;") < gunicorn["keepalive"]
    longest = max(Settings().max_budget_ms / 1000 + OVERRUN, LOAD_TIMEOUT + RELOAD_TIMEOUT)
    assert longest < reported(r"proxy_read_timeout (\d+)s;")


def test_workers_have_no_threads_that_wait_for_products() -> None:
    """OpenBLAS reads what is set once, when numpy is imported: later than this file, and by the worker."""
    script = (
        "import runpy, sys; runpy.run_path('gunicorn.conf.py'); early = 'numpy' in sys.modules; "
        "import numpy, scipy.linalg, threadpoolctl; "
        "print(early, {one['num_threads'] for one in threadpoolctl.threadpool_info() if one['user_api'] == 'blas'})"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    reported = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert reported.stdout.strip() == "False {1}"


@pytest.mark.parametrize("accesslog", [None, "-"])
def test_gunicorn_logs_requests_itself_only_where_that_is_set(accesslog: str | None) -> None:
    """It would make one for each, and throw it away, because it has logconfig_dict."""
    kind = runpy.run_path(str(ROOT / "gunicorn.conf.py"))["logger_class"]
    logger = kind.__new__(kind)
    logger.cfg = SimpleNamespace(accesslog=accesslog, logconfig_dict={"version": 1})
    assert logger.access_log_enabled == (accesslog is not None)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::", "::1"])
def test_gunicorn_binds_to_the_host_that_is_set(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TF_CPP_MIN_LOG_LEVEL", "OPENBLAS_NUM_THREADS"):  # it sets them where they are not
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    monkeypatch.setenv("INKLING_HOST", host)
    monkeypatch.setenv("INKLING_PORT", "8123")
    assert parse_address(runpy.run_path(str(ROOT / "gunicorn.conf.py"))["bind"]) == (host, 8123)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def keys(folder: Path) -> dict[str, str]:
    return write_keys(folder / "keys", web="predict,explain", boss="admin")


@pytest.fixture(scope="module")
def two(folder: Path, keys: dict[str, str]) -> Iterator[Running]:
    """Two workers with keys, JSON logs and a line for each request."""
    settings = {
        "WORKERS": "2", "EXPLAIN": "off", "RUN_DIR": str(folder / "run"), "KEYS_FILE": str(folder / "keys"),
        "LOG_FORMAT": "json", "ACCESS_LOG": "on",
    }  # fmt: skip
    with serving(folder, settings) as running:
        yield running


def predictions(running: Running) -> list[dict[str, Any]]:
    """The lines of all answered predictions."""
    lines = [json.loads(line) for line in running.log.read_text().splitlines()]
    return [line for line in lines if line.get("path") == "/v1/predict"]


def scraped(running: Running, secret: str) -> Numbers:
    with urlopen(Request(f"{running.url}/metrics", headers=bearer(secret)), timeout=PATIENCE) as response:
        return parsed(response.read())


def predict_until(running: Running, secret: str, workers: int) -> set[int]:
    """Ask until so many workers, dead ones included, have answered; their process ids."""

    def one(_: int) -> int:
        with urlopen(Request(f"{running.url}/v1/predict", SEVEN, bearer(secret)), timeout=PATIENCE) as response:
            return int(response.status)

    deadline = time.monotonic() + PATIENCE
    with ThreadPoolExecutor(8) as pool:
        while time.monotonic() < deadline:
            assert set(pool.map(one, range(16))) == {200}
            processes = {line["process"] for line in predictions(running)}
            if len(processes) >= workers:
                return processes
    raise AssertionError(f"only {processes} answered")


def metrics_folder(worker: int) -> Path:
    """Where the worker counts."""
    found = re.search(r"(/\S+)/counter_\d+\.db", Path(f"/proc/{worker}/maps").read_text())
    assert found is not None
    return Path(found[1])


def test_two_workers_count_as_one_and_a_killed_one_leaves_its_counts_only(
    two: Running, keys: dict[str, str], folder: Path
) -> None:
    first = predict_until(two, keys["web"], 2)
    gauges = metrics_folder(min(first))
    assert str(gauges).startswith("/dev/shm/") == Path("/dev/shm").is_dir()

    def held() -> set[int]:
        return {int(path.stem.rpartition("_")[2]) for path in gauges.glob("gauge_live*.db")}

    def answered() -> float:
        return number(
            scraped(two, keys["boss"]), "inkling_requests_total", route="/v1/predict", method="POST", status="200"
        )

    assert held() == first
    assert answered() == len(predictions(two)) >= 16
    numbers = scraped(two, keys["boss"])
    assert number(numbers, "inkling_confidence_count", model="cnn", version=card("cnn").version) == answered()
    victim = min(first)
    os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while victim in held() or len(held()) < 2:
        assert time.monotonic() < deadline, held()
        time.sleep(0.1)  # polls another process
    assert held() == predict_until(two, keys["web"], 3) - {victim}
    assert answered() == len(predictions(two)) >= 32  # with the requests that the dead worker answered
    numbers = scraped(two, keys["boss"])
    assert number(numbers, "inkling_model_versions", model="cnn") == len(numbers_of("cnn"))


def test_a_stopped_server_leaves_no_folder_of_metrics(tmp_path: Path) -> None:
    with serving(tmp_path, {"EXPLAIN": "off"}) as running:
        counted = metrics_folder(workers(running)[0])
        assert counted.is_dir()
        running.process.terminate()
        assert running.process.wait(PATIENCE) == 0
        assert not counted.exists()


def test_every_line_is_json_also_gunicorns_own_and_one_for_each_request(two: Running, keys: dict[str, str]) -> None:
    with urlopen(Request(f"{two.url}/v1/predict", SEVEN, {**bearer(keys["web"]), "X-Request-ID": "this-one"})):
        pass
    assert ask(f"{two.url}/v1/models?signature=swordfish")[0] == 401
    text = two.log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert {"gunicorn.error", "inkling.access"} <= {line["logger"] for line in lines}
    (found,) = [line for line in lines if line.get("request_id") == "this-one"]
    assert (found["status"], found["model"], found["version"]) == (200, "cnn", card("cnn").version)
    assert (found["rows"], found["key"]) == (1, "web")
    assert "swordfish" not in text and keys["web"] not in text


def test_workers_share_one_secret_for_links_that_only_they_can_read(two: Running, folder: Path) -> None:
    secret = folder / "run" / "link_secret"
    assert secret.stat().st_mode & 0o777 == 0o600 and len(secret.read_bytes()) == 32
