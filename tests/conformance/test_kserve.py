"""KServe's InferenceRESTClient, unmodified, with protocols v1 and v2."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.models.nets import card, digits, net, twin
from tests.support.needs import lacking
from tests.support.processes.servers import ROOT, Running

PYTHON = ROOT / ".venv-kserve" / "bin" / "python"
ROWS = 3


@pytest.fixture(scope="module")
def said(explaining: Running, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the client said to all that it was asked."""
    if not PYTHON.exists():
        lacking("there is no .venv-kserve (make .venv-kserve/stamp installs it)")
    rows = tmp_path_factory.mktemp("kserve") / "rows.npy"
    np.save(rows, digits()[:ROWS])
    command = [PYTHON, Path(__file__).with_name("kserve_client.py"), explaining.url, rows, card("cnn").version]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def logits() -> Any:
    return twin("cnn").forward(digits()[:ROWS])


def test_v1_health(said: dict[str, Any]) -> None:
    assert said["v1"]["live"] is True
    assert said["v1"]["ready"] is True


@pytest.mark.parametrize("which", ["predicted", "of_version"])
def test_v1_predicts(said: dict[str, Any], which: str) -> None:
    found = said["v1"][which]["predictions"]
    assert np.array([row["logits"] for row in found]) == pytest.approx(logits(), rel=1e-6)
    assert np.argmax([row["probabilities"] for row in found], axis=1).tolist() == logits().argmax(axis=1).tolist()


def test_v1_explains(said: dict[str, Any]) -> None:
    found = said["v1"]["explained"]
    assert np.array([row["logits"] for row in found["predictions"]]) == pytest.approx(logits(), rel=1e-6)
    weights = np.zeros((ROWS, 10), np.float32)
    weights[:, 3] = 1
    slopes = np.abs(net("cnn").gradient(digits()[:ROWS], weights))
    maps = np.array([one["explanation"]["values"] for one in found["explanations"]])
    assert np.abs(maps) == pytest.approx(slopes, rel=1e-3, abs=1e-4)


def test_v1_errors_are_read(said: dict[str, Any]) -> None:
    assert said["v1"]["unknown"]["status"] == 404
    assert "Servable not found for request: Latest(nope)" in said["v1"]["unknown"]["said"]
    assert said["v1"]["unknown_ready"]["status"] == 404
    assert said["v1"]["wrong"]["status"] == 400
    assert "row 0 of images has 2" in said["v1"]["wrong"]["said"]


def test_v2_health(said: dict[str, Any]) -> None:
    assert [said["v2"][name] for name in ("live", "ready", "model_ready", "unknown_ready")] == [True, True, True, False]


@pytest.mark.parametrize("form", ["json", "binary"])
def test_v2_predicts(said: dict[str, Any], form: str) -> None:
    found = said["v2"][form]
    assert found["model"] == "cnn"
    assert np.array(found["logits"]) == pytest.approx(logits(), rel=1e-6)
    assert np.argmax(found["probabilities"], axis=1).tolist() == logits().argmax(axis=1).tolist()


def test_v2_errors_are_read(said: dict[str, Any]) -> None:
    assert said["v2"]["unknown"]["status"] == 404
    assert "unknown model 'nope'" in said["v2"]["unknown"]["said"]
