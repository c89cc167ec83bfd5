"""deploy/helm/inkling, as helm renders it and Kubernetes' own schemas read it. No cluster ran it."""

from copy import deepcopy
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from server.config import Settings, SettingsError
from server.metrics import SLOTS
from tests.conftest import MakeApp
from tests.deploy.charts import CHART, Refused, Thing, container_of, env_of, faults_of, helm, one_of, pod_of, rendered
from tests.deploy.charts import settings_of as server_of
from tests.support.processes.servers import ROOT

KUBERNETES = ("1.30", "1.34", "1.37")  # the oldest that the chart takes, one between, and the newest known here
STATE = {"INKLING_STATE": "valkey://valkey:6379/0"}
KEYS = {"existingSecret": "inkling", "file": "keys.txt"}
TLS = [{"secretName": "digits-tls", "hosts": ["digits.example"]}]
EGRESS = [{"to": [{"podSelector": {"matchLabels": {"app": "valkey"}}}], "ports": [{"protocol": "TCP", "port": 6379}]}]
PROMETHEUS = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
CASES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {  # name -> a variant's files, and values upon them
    "default": ((), {}),
    "gpu": (("values-gpu.yaml",), {}),
    "lite": (("values-lite.yaml",), {}),
    "cluster": (("values-cluster.yaml",), {}),
    "cluster, lite": (("values-cluster.yaml", "values-lite.yaml"), {}),
    "by cpu": ((), {"settings": STATE, "autoscaling": {"enabled": True}}),
    "by slots": ((), {"settings": STATE, "autoscaling": {"enabled": True, "by": "slots"}}),
    "ingress": ((), {"ingress": {"enabled": True, "className": "nginx", "hosts": ["digits.example"], "tls": TLS}}),
    "keys": ((), {"keys": KEYS, "settingsFromSecrets": {"INKLING_LINK_SECRET": {"name": "inkling", "key": "links"}}}),
    "claim": ((), {"models": {"from": "claim", "claim": "store", "subPath": "models"}}),
    "signed": ((), {"trust": {"existingSecret": "release"},
                    "models": {"from": "source", "source": "https://models.example/store"}}),
    "limits": ((), {"settings": {"INKLING_RATE_LIMIT": "60/minute", "INKLING_PROXIES": 1},
                    "ingress": {"enabled": True, "hosts": ["digits.example"]}}),
    "monitored": ((), {"keys": KEYS, "settings": {"INKLING_HOSTS": "digits.example"},
                       "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"},
                                          "authorization": {"existingSecret": "inkling", "key": "admin"}}}),
    "fenced": ((), {"settings": STATE, "replicas": 2, "networkPolicy": {
        "enabled": True, "from": PROMETHEUS, "metricsFrom": PROMETHEUS, "egress": EGRESS}}),
    "alone and fenced": ((), {"networkPolicy": {"enabled": True}}),
    "all by themselves": ((), {"replicas": 3, "allowUnsharedExplanations": True}),
    "much kept": ((), {"settings": {"INKLING_RECORDS_BYTES": 4294967296 // 8, "INKLING_GRACE": 90}}),
    "more of everything": ((), {
        "extraEnv": [{"name": "AWS_REGION", "value": "eu"}], "podLabels": {"team": "a"}, "podAnnotations": {"a": "b"},
        "extraVolumes": [{"name": "kept", "persistentVolumeClaim": {"claimName": "kept"}}],
        "extraVolumeMounts": [{"name": "kept", "mountPath": "/kept"}],
        "settings": {"INKLING_FEEDBACK": "/kept/feedback.jsonl"}, "image": {"pullSecrets": [{"name": "registry"}]},
        "nodeSelector": {"disk": "fast"}, "priorityClassName": "high", "runtimeClassName": "nvidia",
        "service": {"type": "LoadBalancer", "annotations": {"a": "b"}}, "fullnameOverride": "inkling"}),
}  # fmt: skip
# The part of the Prometheus operator's ServiceMonitor that the chart uses, in our words, by its definition
# servicemonitors.monitoring.coreos.com (prometheus-operator 0.84, example/prometheus-operator-crd); nothing else is
# allowed.
LABELS = {"type": "object", "additionalProperties": {"type": "string"}}


def closed(*required: str, **properties: Any) -> Thing:
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


SECRET_KEY = closed("key", name={"type": "string"}, key={"type": "string"}, optional={"type": "boolean"})
ENDPOINT = closed(
    port={"type": "string"},
    path={"type": "string"},
    interval={"type": "string", "pattern": r"^(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$"},
    authorization=closed(type={"type": "string"}, credentials=SECRET_KEY),
)
MONITOR = closed(
    "spec",
    apiVersion={"const": "monitoring.coreos.com/v1"},
    kind={"const": "ServiceMonitor"},
    metadata=closed("name", name={"type": "string"}, namespace={"type": "string"}, labels=LABELS),
    spec=closed(
        "endpoints",
        "selector",
        jobLabel={"type": "string"},
        selector=closed(matchLabels=LABELS),
        endpoints={"type": "array", "items": ENDPOINT},
    ),
)


def check(thing: Thing) -> None:
    """Kubernetes of every version would take it as it is."""
    if thing["kind"] == "ServiceMonitor":
        jsonschema.validate(thing, MONITOR)
        return
    for version in KUBERNETES:
        kubernetes_validate.validate(thing, version, strict=True)


@pytest.fixture
def paths(make_app: MakeApp) -> frozenset[str]:
    return frozenset(rule.rule for rule in make_app().url_map.iter_rules())


@pytest.mark.parametrize("case", CASES)
def test_what_is_rendered_is_taken_by_kubernetes_and_by_the_server(case: str, paths: frozenset[str]) -> None:
    files, values = CASES[case]
    things = rendered(values, *files)
    for thing in things:
        check(thing)
        assert thing["metadata"]["namespace"] == "numbers"
    assert faults_of(pod_of(things), paths) == []


def test_what_belongs_together_finds_each_other(paths: frozenset[str]) -> None:
    things = rendered(
        {
            "settings": STATE,
            "autoscaling": {"enabled": True},
            "serviceMonitor": {"enabled": True},
            "ingress": {"enabled": True, "hosts": ["a"]},
            "networkPolicy": {"enabled": True, "egress": EGRESS},
        }
    )
    deployment, service = one_of(things, "Deployment"), one_of(things, "Service")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    policies = [one_of(things, kind)["spec"] for kind in ("PodDisruptionBudget", "NetworkPolicy")]
    selectors = [service["spec"]["selector"], deployment["spec"]["selector"]["matchLabels"]]
    selectors += [policies[0]["selector"]["matchLabels"], policies[1]["podSelector"]["matchLabels"]]
    selectors += [pod_of(things)["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]]
    assert len(selectors) == 5 and all(one.items() <= labels.items() and len(one) == 2 for one in selectors)
    monitor = one_of(things, "ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "inkling"
    (endpoint,) = monitor["endpoints"]
    assert endpoint["path"] in paths and endpoint["port"] == service["spec"]["ports"][0]["name"]
    (rule,) = one_of(things, "Ingress")["spec"]["rules"]
    behind = rule["http"]["paths"][0]["backend"]["service"]
    assert behind == {"name": service["metadata"]["name"], "port": {"name": service["spec"]["ports"][0]["name"]}}
    scaled = one_of(things, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert "replicas" not in deployment["spec"]


def test_what_kubernetes_says_of_a_service_of_this_name_would_stop_the_start() -> None:
    """Which is why enableServiceLinks is false."""
    for name, value in (("INKLING_SERVICE_HOST", "10.96.0.7"), ("INKLING_PORT", "tcp://10.96.0.7:80")):
        with pytest.raises(SettingsError, match=name):
            Settings.from_env({name: value})


def test_a_pod_may_do_next_to_nothing() -> None:
    pod = pod_of(rendered())
    assert pod["automountServiceAccountToken"] is False
    (user,) = {line.split()[1] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("USER")}
    assert pod["securityContext"]["runAsNonRoot"] and str(pod["securityContext"]["runAsUser"]) == user
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container_of(pod)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    policy = one_of(rendered({"networkPolicy": {"enabled": True}}), "NetworkPolicy")["spec"]
    assert policy["egress"] == [] and policy["policyTypes"] == ["Ingress", "Egress"]


@pytest.mark.parametrize(("grace", "drains"), [(45, 5), (120, 0), (1, 30)])
def test_a_pod_is_given_the_time_that_its_server_takes_to_stop(grace: int, drains: int) -> None:
    pod = pod_of(rendered({"settings": {"INKLING_GRACE": grace}, "drainSeconds": drains}))
    assert pod["terminationGracePeriodSeconds"] == grace + drains + 5
    assert ("lifecycle" in container_of(pod)) == (drains > 0)


def test_it_scales_by_the_slots_that_it_has() -> None:
    values = {"settings": {**STATE, "INKLING_WORKERS": 2, "INKLING_EXPLAIN_SLOTS": 3}}
    for given, target in ((0, "3"), (5, "5")):
        scaling = {"enabled": True, "by": "slots", "slotsInUse": given}
        (metric,) = one_of(rendered({**values, "autoscaling": scaling}), "HorizontalPodAutoscaler")["spec"]["metrics"]
        assert metric["pods"]["metric"]["name"] == SLOTS.name
        assert metric["pods"]["target"] == {"type": "AverageValue", "averageValue": target}


def test_prometheus_may_ask_by_the_address_of_a_pod_where_hosts_are_named() -> None:
    _, values = CASES["monitored"]
    pod = pod_of(rendered(values))
    assert server_of(pod).hosts == "digits.example,10.1.2.3"
    assert env_of(pod).read["POD_IP"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    assert server_of(pod_of(rendered({**values, "serviceMonitor": {"enabled": False}}))).hosts == "digits.example"


def test_what_is_kept_has_room() -> None:
    assert pod_of(rendered())["volumes"][0]["emptyDir"] == {"sizeLimit": "1024Mi"}
    pod = pod_of(rendered(CASES["much kept"][1]))
    assert server_of(pod).records_bytes == 512 << 20 and pod["volumes"][0]["emptyDir"] == {"sizeLimit": "1536Mi"}


BREAKS: dict[str, Any] = {  # what is wrong with a pod -> how it is broken
    "it is killed before the grace time ends": lambda pod: pod.update(terminationGracePeriodSeconds=50),
    "a Service named inkling stops its start": lambda pod: pod.pop("enableServiceLinks"),
    "it listens on 8000, and its port is another": lambda pod: container_of(pod)["ports"][0].update(containerPort=80),
    "the livenessProbe asks what nobody answers": lambda pod: container_of(pod)["livenessProbe"].update(
        httpGet={"path": "/healthz", "port": "http"}
    ),
    "it has nowhere to write": lambda pod: container_of(pod)["volumeMounts"].pop(0),
    "its volumes are not those that it mounts": lambda pod: pod["volumes"].pop(),
    "nothing is mounted at /etc/inkling/keys/keys.txt": lambda pod: [
        mount.update(mountPath="/etc/keys") for mount in container_of(pod)["volumeMounts"] if mount["name"] == "keys"
    ],
}


@pytest.mark.parametrize("fault", BREAKS)
def test_a_broken_pod_is_noticed(fault: str, paths: frozenset[str]) -> None:
    pod = deepcopy(pod_of(rendered({"keys": KEYS})))
    assert faults_of(pod, paths) == []
    BREAKS[fault](pod)
    assert fault in faults_of(pod, paths)


def test_a_broken_object_is_refused() -> None:
    things = rendered(CASES["monitored"][1])
    deployment, monitor = one_of(things, "Deployment"), one_of(things, "ServiceMonitor")
    deployment["spec"]["replica"] = deployment["spec"].pop("replicas")
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        check(deployment)
    monitor["spec"]["endpoints"][0]["intervall"] = "15s"
    with pytest.raises(jsonschema.ValidationError, match="intervall"):
        check(monitor)


def test_the_chart_is_as_helm_wants_it() -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART))
    with pytest.raises(Refused):
        helm("lint", "--strict", str(CHART / "templates"))
