"""deploy/kserve.yaml: as KServe's own models, Kubernetes and the server have it. No KServe ran it."""

import json
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from server.config import SettingsError
from tests.conftest import MakeApp
from tests.deploy.charts import Thing, container_of, env_of, faults_of
from tests.support.needs import lacking
from tests.support.processes.servers import ROOT

TEXT = (ROOT / "deploy" / "kserve.yaml").read_text()
PYTHON = ROOT / ".venv-kserve" / "bin" / "python"
COPIED_TO = "/mnt/models"  # by KServe, from what STORAGE_URI names
OF_KSERVE = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget"}  # the rest of a predictor is a pod's


def service(text: str = TEXT) -> Thing:
    found: Thing = yaml.safe_load(text)
    return found


def faults_by_kserve(text: str) -> str:
    if not PYTHON.exists():
        lacking("there is no .venv-kserve (make .venv-kserve/stamp installs it)")
    command = [str(PYTHON), str(Path(__file__).with_name("kserve_fields.py"))]
    done = subprocess.run(
        command, input=json.dumps(service(text)), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def pod(found: Thing) -> Thing:
    """What becomes of it: KServe adds the volume with the models to the one container that it knows by its name."""
    made = deepcopy({key: value for key, value in found["spec"]["predictor"].items() if key not in OF_KSERVE})
    given = env_of(made).plain
    if container_of(made)["name"] == "kserve-container" and "STORAGE_URI" in given:
        container_of(made)["volumeMounts"].append({"name": "models", "mountPath": COPIED_TO, "readOnly": True})
        made["volumes"].append({"name": "models", "emptyDir": {}})
    for port in container_of(made)["ports"]:
        port.setdefault("name", port["containerPort"])  # its probes ask by the number
    return made


@pytest.fixture
def paths(make_app: MakeApp) -> frozenset[str]:
    return frozenset(rule.rule for rule in make_app().url_map.iter_rules())


def test_it_is_as_kserve_has_it() -> None:
    assert faults_by_kserve(TEXT) == ""
    broken = TEXT.replace("    minReplicas: 1\n", "    minReplicas: one\n    storageUri: s3://models/store\n")
    broken = broken.replace("mountPath: /tmp", "mountpath: /tmp")
    assert set(faults_by_kserve(broken).splitlines()) == {
        ".spec.predictor: V1beta1PredictorSpec has no storageUri",
        ".spec.predictor.minReplicas: 'one' is no int",
        ".spec.predictor.containers[0].volumeMounts[0]: V1VolumeMount has no mountpath",
    }


def test_its_pod_is_as_kubernetes_has_it() -> None:
    spec: Any = {key: value for key, value in service()["spec"]["predictor"].items() if key not in OF_KSERVE}
    thing = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "digits"}, "spec": spec}
    kubernetes_validate.validate(thing, "1.37", strict=True)
    spec["enableServiceLink"] = spec.pop("enableServiceLinks")
    with pytest.raises(kubernetes_validate.ValidationError, match="enableServiceLink"):
        kubernetes_validate.validate(thing, "1.37", strict=True)


def test_the_server_runs_in_it_and_answers_both_protocols(paths: frozenset[str]) -> None:
    assert faults_of(pod(service()), paths) == []
    assert env_of(pod(service())).plain["INKLING_MODEL_STORE"] == COPIED_TO
    v1 = {f"/v1/models/<name:model>:{verb}" for verb in ("predict", "explain")}
    assert paths >= {"/v2/models/<name:model>/infer", *v1}


BREAKS = {  # what goes wrong -> what is put for what
    "nothing is mounted at /mnt/models": ("name: kserve-container", "name: inkling"),
    "nothing is mounted at /models": ("value: /mnt/models", "value: /models"),
    "it is killed before the grace time ends": ("Seconds: 55", "Seconds: 45"),
    "a Service named inkling stops its start": ("enableServiceLinks: false", "enableServiceLinks: true"),
    "the readinessProbe asks what nobody answers": ("/v2/health/ready", "/v2/ready"),
}


@pytest.mark.parametrize("fault", BREAKS)
def test_what_would_go_wrong_is_noticed(fault: str, paths: frozenset[str]) -> None:
    good, bad = BREAKS[fault]
    assert good in TEXT
    assert fault in faults_of(pod(service(TEXT.replace(good, bad))), paths)


def test_a_misspelt_setting_is_noticed(paths: frozenset[str]) -> None:
    with pytest.raises(SettingsError, match="INKLING_WORKRES"):
        faults_of(pod(service(TEXT.replace("INKLING_WORKERS", "INKLING_WORKRES"))), paths)
