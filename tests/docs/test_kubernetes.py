"""docs/kubernetes.md: its commands render, what it names is there, and what it measured fits into the limits."""

import json
import re
import shlex
from typing import Any

import pytest
import yaml

from server.metrics import TABLE
from tests.deploy.charts import CHART, Refused, container_of, helm, pod_of, rendered
from tests.deploy.settings_schema import SCHEMA
from tests.support.processes.servers import ROOT

PAGE = (ROOT / "docs" / "kubernetes.md").read_text()
INSTALLS = re.findall(r"^helm install (.*)$", PAGE, re.MULTILINE)
VALUES = [block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if block.startswith("settings:")]
MIB = (1 << 20) / 1e6  # MB


def rendered_as(arguments: str) -> str:
    found = [str(ROOT / word) if word.startswith("deploy/") else word for word in shlex.split(arguments)]
    return helm("template", *found)


def named(path: str, schema: Any) -> bool:
    """Whether the chart has such a value: autoscaling.by."""
    for part in path.split("."):
        if "$ref" in schema:  # names of resources are Kubernetes' own
            return True
        schema = schema.get("properties", {}).get(part)
        if schema is None:
            return False
    return True


@pytest.mark.parametrize("arguments", INSTALLS)
def test_the_commands_install_something(arguments: str) -> None:
    assert 'image: "registry.example/inkling:' in rendered_as(arguments)
    with pytest.raises(Refused, match="image"):
        rendered_as(arguments.replace("image.repository", "image.repo"))


def test_the_shown_values_can_be_used() -> None:
    (shown,) = VALUES
    names = {one["name"] for one in container_of(pod_of(rendered(shown)))["env"]}
    assert {"INKLING_EXPLAIN_SLOTS", "INKLING_LINK_SECRET", "INKLING_KEYS_FILE"} <= names


def test_every_value_that_is_told_is_there() -> None:
    schema = json.loads(SCHEMA.read_text())
    told = set(re.findall(r"`([a-z]\w+(?:\.\w+)+)", PAGE)) - {"values.yaml", "docs.md"}
    told -= {name for name in told if name.endswith((".yaml", ".json", ".md"))}
    tops = {"settings", "settingsFromSecrets", "extraVolumes", "extraVolumeMounts", "drainSeconds"}
    assert len(told) > 8 and all(f"`{name}`" in PAGE for name in tops - {"settingsFromSecrets"})
    assert [name for name in told | tops if not named(name, schema)] == []
    assert not named("autoscaling.for", schema)


def test_every_metric_that_is_told_is_there() -> None:
    assert set(re.findall(r"\binkling_\w+", PAGE)) <= {metric.name for metric in TABLE}


def test_what_was_measured_fits_into_the_limits() -> None:
    rows = re.findall(r"^\| (?!what).* \| (\d+) MB \| (\d+) MB \|$", PAGE, re.MULTILINE)
    assert len(rows) == 4
    for column, files in ((0, ()), (1, ("values-lite.yaml",))):
        resources = container_of(pod_of(rendered("", *files)))["resources"]
        usual, most = (int(rows[at][column]) for at in (1, 3))
        assert usual < mb(resources["requests"]["memory"]) < most < mb(resources["limits"]["memory"])


def mb(quantity: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * MIB * {"Mi": 1, "Gi": 1024}[unit]


def test_the_variants_are_those_of_the_chart() -> None:
    told = set(re.findall(r"`(values-\w+\.yaml)` \| `inkling:(\w+)`", PAGE))
    files = {path.name for path in CHART.glob("values-*.yaml")}
    assert {name for name, _ in told} == files
    assert {(name, yaml.safe_load((CHART / name).read_text())["image"]["tag"]) for name in files} == told
