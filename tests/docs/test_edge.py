"""docs/edge.md and the systemd unit that it installs: what they name is there, and what they set can be set."""

import re

import pytest

from server.config import PREFIX, Settings, SettingsError
from tests.support.processes.servers import ROOT

PAGE = (ROOT / "docs" / "edge.md").read_text()
UNIT = (ROOT / "deploy" / "inkling.service").read_text()


def values(name: str, unit: str = UNIT) -> list[str]:
    """All that a unit gives for a name."""
    return re.findall(rf"^{name}=(.*)$", unit, re.MULTILINE)


def environment(unit: str = UNIT) -> dict[str, str]:
    pairs = [pair.partition("=") for line in values("Environment", unit) for pair in line.split()]
    return {name: value for name, _, value in pairs}


def test_the_units_settings_can_be_used() -> None:
    settings = Settings.from_env(environment())
    assert (settings.workers, settings.threads, settings.explain_slots) == (1, 8, 1)
    assert min(settings.max_waiters, settings.max_uploads) >= 1
    with pytest.raises(SettingsError):
        Settings.from_env(environment(UNIT.replace("INKLING_THREADS=8", "INKLING_THREADS=1")))


def test_the_page_tells_the_units_settings() -> None:
    reported = dict(re.findall(r"^\| `(INKLING_\w+)` \| (\S+) \|", PAGE, re.MULTILINE))
    assert len(reported) == 5
    assert reported.items() <= environment().items()
    names = {PREFIX + name.upper() for name in vars(Settings())}
    assert set(re.findall(r"INKLING_\w+", PAGE)) - names == set()


def test_the_unit_waits_for_what_is_being_answered_and_keeps_in_memory() -> None:
    assert int(values("TimeoutStopSec")[0]) > Settings.from_env(environment()).grace
    assert values("KillMode") == ["mixed"]
    assert environment()["INKLING_RUN_DIR"] == f"/run/{values('RuntimeDirectory')[0]}"


def test_the_steps_put_there_what_the_unit_starts() -> None:
    (copied, folder) = re.findall(r"^sudo cp -r (.*) (\S+)/$", PAGE, re.MULTILINE)[0]
    assert [folder] == values("WorkingDirectory")
    assert [name for name in copied.split() if not (ROOT / name).exists()] == []
    in_the_image = re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    unneeded = {"LICENSE", "training"}  # an edge trains nothing
    needed = {name for line in in_the_image for name in line.split()} - unneeded
    assert {name for name in needed if not name.startswith("requirements")} <= set(copied.split())
    (start,) = values("ExecStart")
    assert start.startswith(f"{folder}/venv/bin/gunicorn -c gunicorn.conf.py wsgi:app")
