"""With JSON logs all that a server writes is JSON, one object a line: also what is not written through logging."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.processes import eventually, workers
from tests.support.clock import PATIENCE
from tests.support.processes.servers import ROOT, ask, serving

SEVEN = (ROOT / "examples" / "7.png").read_bytes()
JSON = {"LOG_FORMAT": "json"}


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_what_tensorflow_and_the_packages_write_is_json_too(tmp_path: Path) -> None:
    """LiteRT and TensorFlow's C++ side write past Python; a killed worker and a reload change nothing."""
    settings = {**JSON, "RUNTIME": "tensorflow", "ACCESS_LOG": "on"}
    with serving(tmp_path, settings, explain="ready") as running:
        for query in ("method=lime", "method=shapley", "method=expected_gradients"):
            assert ask(f"{running.url}/v1/explain?engine=reference&{query}", SEVEN)[0] == 200
        found = lines(running.log.read_text())
        assert "XNNPACK" in "".join(line["message"] for line in found if line["logger"] == "output")
        ready = r"explanations of (\w+) \d+ are ready after \d+\.\d s"
        told = [match[1] for line in found if (match := re.fullmatch(ready, line["message"]))]
        assert set(told) == {"cnn", "lstm", "mlp"}  # of the cnn two versions, of which the second comes later
        (first,) = workers(running)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: workers(running) not in ([first], []), "another worker")
        running.process.send_signal(signal.SIGHUP)
        eventually(lambda: "Hang up" in running.log.read_text(), "the reload")
        running.process.terminate()
        assert running.process.wait(PATIENCE) == 0
    messages = [line["message"] for line in lines(running.log.read_text())]
    assert any(f"(pid:{first}) was sent SIGKILL" in message for message in messages)
    assert messages[-1] == "Shutting down: Master"


@pytest.mark.parametrize("settings", [{"PORT": "http"}, {"KEYS_FILE": "/nowhere/keys"}], ids=str)
def test_a_mistake_in_the_settings_is_one_line(settings: dict[str, str]) -> None:
    others = {key: value for key, value in os.environ.items() if not key.startswith("INKLING_")}
    given = {f"INKLING_{key}": value for key, value in {**JSON, **settings}.items()}
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
    done = subprocess.run(
        command, cwd=ROOT, env={**others, **given}, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 1 and done.stdout == ""
    (line,) = [line["message"] for line in lines(done.stderr) if "Starting gunicorn" not in line["message"]]
    assert line.startswith("Inkling does not start: INKLING_")


SCRIPT = """
import ctypes, logging.config, os, subprocess, sys, threading, warnings
from server.logs import capture_streams, log_uncaught, logging_config, release_streams
capture_streams()
capture_streams()
logging.config.dictConfig(logging_config("json", "INFO"))
log_uncaught()
print("from print")
os.write(2, b"from the C++ side, in \\xff bytes\\n\\n")
subprocess.run(["sh", "-c", "echo from a child; echo and its mistake >&2"])
warnings.warn("mind the gap", stacklevel=1)
thread = threading.Thread(target=lambda: 1 / 0, name="divider")
thread.start()
thread.join()
threading.Thread(target=sys.exit).start()
if os.fork() == 0:
    sys.exit("the last word of a child")
os.wait()
if os.fork() == 0:
    release_streams()
    os.execlp("echo", "echo", '{"logger": "successor"}')
os.wait()
os.write(1, b"half a line")
raise KeyError("nobody")
"""


def test_every_way_to_write_ends_in_json() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 1 and done.stdout == ""
    found = lines(done.stderr)
    captured = [line["message"] for line in found if line["logger"] == "output"]
    assert sorted(captured) == [
        "and its mistake", "from a child", "from print", "from the C++ side, in \\xff bytes", "half a line",
        "the last word of a child",
    ]  # fmt: skip
    assert {"logger": "successor"} in found
    (warning,) = [line for line in found if line["logger"] == "py.warnings"]
    assert warning["level"] == "WARNING" and "mind the gap" in warning["message"]
    thrown = [line for line in found if "exception" in line]
    assert [(line["message"], line["exception"].splitlines()[-1]) for line in thrown] == [
        ("not caught in thread divider", "ZeroDivisionError: division by zero"), ("not caught", "KeyError: 'nobody'"),
    ]  # fmt: skip
