"""What the chart of deploy/helm refuses before anything starts, and what it makes of settings."""

import json
import tomllib
from typing import Any

import pytest
import yaml

from server.config import Settings
from tests.deploy.charts import CHART, Refused, container_of, env_of, helm, pod_of, rendered, settings_of
from tests.deploy.settings_schema import OF_THE_CHART, SCHEMA, remade
from tests.support.needs import lacking
from tests.support.processes.servers import ROOT

STATE = {"INKLING_STATE": "redis://redis:6379/0"}
KEYS = {"existingSecret": "inkling"}
LINKS = {"INKLING_LINK_SECRET": {"name": "inkling", "key": "links"}}
LIMIT = {"INKLING_RATE_LIMIT": "60/minute"}
BEHIND = {"enabled": True, "hosts": ["a.example"]}


def refusal(values: Any) -> str:
    with pytest.raises(Refused) as raised:
        rendered(values)
    return str(raised.value)


def test_the_schema_has_the_settings_of_the_server() -> None:
    assert SCHEMA.read_text() == remade(), "python -m tests.deploy.settings_schema writes it anew"
    told = json.loads(SCHEMA.read_text())["properties"]
    secret, ours = {"link_secret"}, set(vars(Settings())) - OF_THE_CHART
    assert told["settings"]["properties"].keys() == {f"INKLING_{name.upper()}" for name in ours - secret}
    assert told["settingsFromSecrets"]["properties"].keys() == {f"INKLING_{name.upper()}" for name in ours}


MISTAKES: dict[str, tuple[Any, str]] = {  # what is wrong -> values, and what helm says
    "a misspelt value": ({"replica": 2}, "replica"),
    "a misspelt value within": ({"models": {"form": "image"}}, "form"),
    "a misspelt setting": ({"settings": {"INKLING_THREAD": 8}}, "INKLING_THREAD"),
    "a setting of the chart": ({"settings": {"INKLING_PORT": 80}}, "INKLING_PORT"),
    "a secret in the open": ({"settings": {"INKLING_LINK_SECRET": "x" * 32}}, "INKLING_LINK_SECRET"),
    "a setting past the settings": ({"extraEnv": [{"name": "INKLING_THREAD", "value": "8"}]}, "extraEnv"),
    "a text for a number": ({"settings": {"INKLING_THREADS": "many"}}, "INKLING_THREADS"),
    "a number that is too large": ({"settings": {"INKLING_PROXIES": 11}}, "INKLING_PROXIES"),
    "a word that is none of those": ({"settings": {"INKLING_LOG_LEVEL": "LOUD"}}, "INKLING_LOG_LEVEL"),
    "a limit that is none": ({"settings": {"INKLING_RATE_LIMIT": "sixty"}}, "INKLING_RATE_LIMIT"),
    "a quantity that is none": ({"resources": {"limits": {"memory": "1 GB"}}}, "memory"),
    "a secret without its key": ({"settingsFromSecrets": {"INKLING_STATE": {"name": "a"}}}, "key"),
    "a port that is none": ({"service": {"port": 0}}, "port"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_and_named(mistake: str) -> None:
    values, named = MISTAKES[mistake]
    said = refusal(values)
    assert "values don't meet the specifications of the schema" in said and named in said


CLASHES: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {  # -> values, what is said, and what mends them
    "several pods and no state": ({"replicas": 2}, "INKLING_STATE", {"settings": STATE}),
    "several pods by scaling": ({"autoscaling": {"enabled": True}}, "6 pods", {"settings": STATE}),
    "jobs of several pods": (
        {"replicas": 2, "settings": {**STATE, "INKLING_JOBS": "/tmp/jobs"}},
        "unknown to the others", {"replicas": 1}),
    "several pods, and it is meant": ({"replicas": 2}, "404", {"allowUnsharedExplanations": True}),
    "several pods that keep nothing": ({"replicas": 2}, "INKLING_KEEP", {"settings": {"INKLING_KEEP": "off"}}),
    "several pods that only predict": ({"replicas": 2}, "INKLING_STATE", {"settings": {"INKLING_EXPLAIN": "off"}}),
    "several pods and a state in a secret": (
        {"replicas": 2}, "INKLING_STATE", {"settingsFromSecrets": {"INKLING_STATE": {"name": "a", "key": "b"}}}),
    "links of several pods": (
        {"replicas": 2, "allowUnsharedExplanations": True, "keys": KEYS}, "link", {"settingsFromSecrets": LINKS}),
    "limits of several workers": (
        {"settings": {**LIMIT, "INKLING_WORKERS": 2}}, "INKLING_RATE_LIMIT_STORAGE",
        {"settings": {**LIMIT, "INKLING_WORKERS": 2, "INKLING_RATE_LIMIT_STORAGE": "redis://redis:6379"}}),
    "limits of several pods": (
        {"settings": LIMIT, "replicas": 2, "allowUnsharedExplanations": True}, "counted", {"replicas": 1}),
    "limits behind an ingress": (
        {"settings": LIMIT, "ingress": BEHIND}, "INKLING_PROXIES", {"settings": {**LIMIT, "INKLING_PROXIES": 1}}),
    "no claim": ({"models": {"from": "claim"}}, "models.claim", {"models": {"from": "claim", "claim": "a"}}),
    "no source": (
        {"models": {"from": "source"}}, "models.source", {"models": {"from": "source", "source": "s3://a/b"}}),
    "a source that is not followed": (
        {"models": {"source": "s3://a/b"}}, "models.from: source", {"models": {"from": "source", "source": "s3://a/b"}}),
    "metrics without a key": (
        {"serviceMonitor": {"enabled": True}, "keys": KEYS}, "scope admin",
        {"serviceMonitor": {"enabled": True, "authorization": {"existingSecret": "a", "key": "b"}}}),
    "scaling by cpu without a request": (
        {"settings": STATE, "autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}},
        "resources.requests.cpu", {"resources": {"requests": {"cpu": 2}}}),
    "scaling by slots without explanations": (
        {"settings": {"INKLING_EXPLAIN": "off"}, "autoscaling": {"enabled": True, "by": "slots"}},
        "autoscaling.by: cpu", {"autoscaling": {"enabled": True}}),
    "more at least than at most": (
        {"settings": STATE, "autoscaling": {"enabled": True, "minReplicas": 7}}, "minReplicas",
        {"autoscaling": {"enabled": True, "minReplicas": 7, "maxReplicas": 8}}),
    "a fence before the state": (
        {"settings": STATE, "networkPolicy": {"enabled": True}}, "networkPolicy.egress",
        {"networkPolicy": {"enabled": True, "egress": [{"ports": [{"port": 6379}]}]}}),
    "a fence before Prometheus": (
        {"serviceMonitor": {"enabled": True}, "networkPolicy": {"enabled": True, "from": [{"podSelector": {}}]}},
        "networkPolicy.metricsFrom",
        {"networkPolicy": {"enabled": True, "from": [{"podSelector": {}}], "metricsFrom": [{"podSelector": {}}]}}),
    "an ingress for nobody": ({"ingress": {"enabled": True}}, "ingress.hosts", {"ingress": BEHIND}),
    "a setting twice": (
        {"settings": STATE, "settingsFromSecrets": {"INKLING_STATE": {"name": "a", "key": "b"}}}, "expected one",
        {"settingsFromSecrets": {}}),
    "no thread for predictions": (
        {"settings": {"INKLING_THREADS": 4}}, "INKLING_EXPLAIN_SLOTS",
        {"settings": {"INKLING_THREADS": 4, "INKLING_EXPLAIN_SLOTS": 2}}),
}  # fmt: skip


@pytest.mark.parametrize("clash", CLASHES)
def test_what_does_not_go_together_is_refused_with_what_to_do(clash: str) -> None:
    values, said, mended = CLASHES[clash]
    assert said in refusal(values)
    assert rendered({**values, **mended})


def test_settings_reach_the_server_as_they_are_written() -> None:
    """Bare as in YAML: Helm reads on and off as booleans, and large numbers as 1.6777216e+07."""
    text = """
    settings:
      INKLING_ACCESS_LOG: on
      INKLING_KEEP: off
      INKLING_REPOSITORY: off
      INKLING_RUNTIME: litert
      INKLING_RECORDS_BYTES: 16777216
      INKLING_MAX_BODY_BYTES: 123456789
      INKLING_VERSIONS: cnn=latest:2;mlp=specific:1
      INKLING_HOST: "::"
    """
    found = settings_of(pod_of(rendered(text)))
    assert (found.access_log, found.keep, found.repository, found.runtime) == ("on", "off", "off", "litert")
    assert (found.records_bytes, found.max_body_bytes, found.host) == (16777216, 123456789, "::")
    assert found.versions == "cnn=latest:2;mlp=specific:1"
    assert (found.workers, found.log_format) == (1, "json")  # what the chart sets itself


def test_every_setting_can_be_given_and_is_read_as_given() -> None:
    """The defaults of the server, each by its own variable."""
    told = json.loads(SCHEMA.read_text())["properties"]["settings"]["properties"]
    usual = {name: getattr(Settings(), name[len("INKLING_") :].lower()) for name in told}
    given = {name: value if isinstance(value, int) else str(value) for name, value in usual.items() if value}
    found = settings_of(pod_of(rendered({"settings": given})))
    assert {name: getattr(found, name[len("INKLING_") :].lower()) for name in given} == {n: usual[n] for n in given}


def test_secrets_are_read_and_never_shown() -> None:
    pod = pod_of(
        rendered(
            {
                "keys": {"existingSecret": "a", "file": "ours.txt"},
                "settingsFromSecrets": LINKS,
                "models": {"from": "source", "source": "s3://a/b", "credentials": {"existingSecret": "c"}},
            }
        )
    )
    plain, read = env_of(pod)
    assert read["INKLING_LINK_SECRET"] == {"secretKeyRef": {"name": "inkling", "key": "links"}}
    assert plain["INKLING_KEYS_FILE"] == "/etc/inkling/keys/ours.txt"
    assert container_of(pod)["envFrom"] == [{"secretRef": {"name": "c"}}]
    (volume,) = [one for one in pod["volumes"] if one["name"] == "keys"]
    assert volume["secret"] == {"secretName": "a", "defaultMode": 0o440}  # for the group that fsGroup names


@pytest.mark.parametrize(
    ("variant", "argument"),
    [("lite", "requirements-lite.txt"), ("gpu", "requirements-gpu.txt"), ("cluster", "requirements-cluster.txt")],
)
def test_a_variant_names_the_image_that_it_tells_to_build(variant: str, argument: str) -> None:
    text = (CHART / f"values-{variant}.yaml").read_text()
    assert container_of(pod_of(rendered("", f"values-{variant}.yaml")))["image"] == f"inkling:{variant}"
    (told,) = [line for line in text.splitlines() if "docker build" in line]
    (documented,) = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if f"inkling:{variant} " in line]
    assert told.split("--build-arg ")[1].split()[0] == documented.split("--build-arg ")[1].split()[0]
    assert argument in told


def test_the_chart_is_of_the_project() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (chart["name"], chart["appVersion"], chart["description"]) == tuple(
        project[key] for key in ("name", "version", "description")
    )


def test_the_notes_say_where_to_ask_and_what_is_open() -> None:
    def notes(values: Any) -> str:
        arguments = ("install", "a", str(CHART), "--dry-run=client", "--values", "-")
        try:
            text = helm(*arguments, values=json.dumps(values))
        except Refused as refused:
            if "cluster unreachable" in str(refused):
                lacking("this helm shows notes by a cluster only, Helm 4 without one")
            raise
        return text.partition("NOTES:")[2]

    assert "svc/a 8000:80" in notes({}) and "Everybody" in notes({})
    assert "https://b/" in notes({"ingress": {"enabled": True, "hosts": ["b"], "tls": [{"secretName": "c"}]}})
    several = {"replicas": 2, "allowUnsharedExplanations": True, "keys": KEYS, "settingsFromSecrets": LINKS}
    assert "Each pod keeps its own" in notes(several) and "Everybody" not in notes(several)
