"""deploy/compose.yaml: as Compose's specification has it, as the server and nginx have it, and run without Docker."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from server.config import Settings, SettingsError
from tests.conftest import MakeApp
from tests.faults.clients.test_slow_clients import nginx_with
from tests.support.processes.servers import ROOT, Running, ask, free_port, serving
from tests.support.processes.stores import SharedServer, valkey_command

FILE = ROOT / "deploy" / "compose.yaml"
TEXT = FILE.read_text()
SERVERS = ("inkling-1", "inkling-2")
HOST = re.compile(r"server (inkling-\d+):(\d+);")
SEVEN = (ROOT / "examples" / "7.png").read_bytes()
Services = dict[str, Any]


def services(text: str = TEXT) -> Services:
    found: Services = deepcopy(yaml.safe_load(text)["services"])
    return found


def dockerfile_env() -> dict[str, str]:
    """The INKLING_* variables of the image."""
    return dict(re.findall(r"^ +(INKLING_\w+)=(\S+?)(?: \\)?$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))


def settings_of(service: Any) -> Settings:
    return Settings.from_env({**dockerfile_env(), **service["environment"]})


def site(folder: Path) -> str:
    """What the script of the service makes of nginx.conf, run here up to the start of nginx."""
    nginx = services()["nginx"]
    (mounted,) = nginx["volumes"]
    source, target, mode = mounted.split(":")
    script = nginx["command"][0].replace(target, str(FILE.parent / source)).replace("/etc/nginx/conf.d", str(folder))
    assert mode == "ro" and "/etc/nginx/conf.d" in [one.partition(":")[0] for one in nginx["tmpfs"]]
    script, _, start = script.partition("exec ")
    assert start.strip() == 'nginx -g "daemon off;"'
    subprocess.run([*nginx["entrypoint"], script], check=True, timeout=20)
    return (folder / "inkling.conf").read_text()


def faults_of(found: Services, site_text: str, paths: frozenset[str]) -> list[str]:
    """What would go wrong though Compose takes the file."""
    networks = {name: set(one["networks"]) for name, one in found.items()}
    wrong = []
    for name, one in found.items():
        if not one.get("read_only") or one.get("cap_drop") != ["ALL"] or one.get("security_opt") is None:
            wrong.append(f"{name} may do more than it needs")
        owner = "uid={},gid={}".format(*one["user"].split(":"))  # else Docker lets root write to it, as in the image
        if any(not folder.endswith(f":{owner}") for folder in one["tmpfs"]):
            wrong.append(f"{name} cannot write to its folders")
        wrong += [
            f"{name} cannot reach {other}"
            for other in one.get("depends_on", ())
            if not networks[name] & networks[other]
        ]
    for name in SERVERS:
        settings = settings_of(found[name])
        state = (settings.state or "").partition("://")[2].partition(":")[0]
        if state not in found or not networks[name] & networks[state]:
            wrong.append(f"{name} does not reach its state")
        if int(found[name]["stop_grace_period"].rstrip("s")) <= settings.grace:
            wrong.append(f"{name} is killed before its grace time ends")
    if set(HOST.findall(site_text)) != {(name, str(settings_of(found[name]).port)) for name in SERVERS}:
        wrong.append("nginx asks others than the servers")
    if networks["nginx"] & networks["valkey"] or found["valkey"].get("ports"):
        wrong.append("clients are on the network of the state")
    (port,) = found["nginx"]["ports"]
    if f"listen {port.partition(':')[2]};" not in site_text:
        wrong.append("nginx listens on another port")
    probe = found["nginx"]["healthcheck"]["test"][-1]
    if re.sub(r"^http://127.0.0.1:\d+", "", probe) not in paths:
        wrong.append("the health of nginx is asked where nobody answers")
    return wrong


@pytest.fixture
def paths(make_app: MakeApp) -> frozenset[str]:
    return frozenset(rule.rule for rule in make_app().url_map.iter_rules())


def test_it_is_as_compose_has_it() -> None:
    assert set(PyCompose.from_yaml(TEXT).service_names()) == {*SERVERS, "nginx", "valkey"}
    for good, bad in (
        ("read_only:", "readonly:"),
        ("service_healthy", "healthy"),
        ("mem_limit: 1g", "mem_limit: lots"),
    ):
        with pytest.raises(ValueError, match=bad.split(":")[0]):
            PyCompose.from_yaml(TEXT.replace(good, bad))
    if subprocess.run(["sh", "-c", "docker compose version"], capture_output=True, check=False).returncode == 0:
        subprocess.run(["docker", "compose", "-f", str(FILE), "config", "--quiet"], check=True, timeout=60)


def test_its_parts_fit(tmp_path: Path, paths: frozenset[str]) -> None:
    assert faults_of(services(), site(tmp_path), paths) == []
    with pytest.raises(SettingsError, match="INKLING_WORKER"):
        settings_of(services(TEXT.replace("INKLING_WORKERS", "INKLING_WORKRES"))["inkling-1"])


BREAKS = {  # what would go wrong -> what is put for what
    "valkey may do more than it needs": ('gid=999"]\n    cap_drop: [ALL]', 'gid=999"]'),
    "nginx cannot write to its folders": ("/run:uid=101,gid=101", "/run:uid=0,gid=0"),
    "inkling-1 cannot reach valkey": ("networks: [servers, state]", "networks: [servers]"),
    "inkling-2 does not reach its state": ("valkey://valkey:", "valkey://redis:"),
    "inkling-2 is killed before its grace time ends": ("stop_grace_period: 50s", "stop_grace_period: 10s"),
    "nginx asks others than the servers": ('INKLING_WORKERS: "1"', 'INKLING_PORT: "9000"'),
    "clients are on the network of the state": ("networks: [clients, servers]", "networks: [clients, servers, state]"),
    "nginx listens on another port": ("8080:8080", "8080:80"),
    "the health of nginx is asked where nobody answers": ("8080/livez", "8080/health"),
}


@pytest.mark.parametrize("fault", BREAKS)
def test_a_broken_file_is_noticed(fault: str, tmp_path: Path, paths: frozenset[str]) -> None:
    good, bad = BREAKS[fault]
    assert good in TEXT
    assert fault in faults_of(services(TEXT.replace(good, bad)), site(tmp_path), paths)


def test_the_image_gets_all_that_it_is_built_from() -> None:
    """Docker sends what .dockerignore lets through, and a COPY of anything else fails."""
    built = services()["inkling-1"]["build"]
    assert (FILE.parent / built["context"]).resolve() == ROOT
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = {
        name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE) for name in line.split()
    }
    sent = set(re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert copied == sent and built["args"]["MORE"] in copied
    assert f"ARG {next(iter(built['args']))}" in dockerfile.splitlines()


@contextmanager
def started(folder: Path) -> Iterator[tuple[int, list[Running]]]:
    """The same commands and settings, as processes of this machine: the port of nginx, and the servers."""
    found, port = services(), free_port()
    command = [*valkey_command(), *found["valkey"]["command"][1:], "--port", str(port)]
    state = SharedServer(command, folder / "valkey", "127.0.0.1", port)
    with ExitStack() as stack:
        stack.callback(state.kill)
        state.start()
        servers = []
        for name in SERVERS:
            (folder / name).mkdir()
            given = {key.removeprefix("INKLING_"): value for key, value in found[name]["environment"].items()}
            given["STATE"] = given["STATE"].replace("valkey:6379", f"127.0.0.1:{port}")
            servers.append(stack.enter_context(serving(folder / name, given, explain="ready")))
        names = {f"{name}:8000": one.url.removeprefix("http://") for name, one in zip(SERVERS, servers, strict=True)}
        text = site(folder)
        for name, address in names.items():
            assert f"server {name};" in text
            text = text.replace(name, address)
        yield stack.enter_context(nginx_with(folder, text)), servers


def test_what_it_starts_answers_as_one(tmp_path: Path) -> None:
    """An explanation is had by its id from both servers, and nginx asks both."""
    with started(tmp_path) as (port, servers):
        status, _, answer = ask(f"http://127.0.0.1:{port}/v1/explain?method=saliency", SEVEN)
        assert status == 200 and answer["prediction"]["label"] == "7"
        for _ in range(6):
            assert ask(f"http://127.0.0.1:{port}/v1/explanations/{answer['id']}")[0] == 200
        assert [ask(f"{server.url}/v1/explanations/{answer['id']}")[0] for server in servers] == [200, 200]
        for server in servers:
            asked = re.search(rb'route="/v1/explanations/[^"]*",status="200"\} (\d+)', ask(f"{server.url}/metrics")[2])
            assert asked is not None and int(asked[1]) > 1  # the last one, and some by nginx
