"""What deploy/helm/inkling/values.schema.json says of INKLING_* settings, made from server/config.py.

`python -m tests.deploy.settings_schema` writes it anew where a setting has changed.
"""

import json
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from server.config import PREFIX, UNBOUNDED, Settings
from tests.support.processes.servers import ROOT

SCHEMA = ROOT / "deploy" / "helm" / "inkling" / "values.schema.json"
OF_THE_CHART = {"port", "keys_file", "trust", "model_store", "model_source"}  # which other values say
BARE = {"on": True, "off": False}  # as Helm reads them in YAML, where they have no quotes


def of_settings() -> dict[str, Any]:
    """The schemas of `settings` and of `settingsFromSecrets`."""
    hints = get_type_hints(Settings)
    ours = [one for one in fields(Settings) if one.name not in OF_THE_CHART]
    plain = {PREFIX + one.name.upper(): _of_one(hints[one.name], one.metadata) for one in ours if not _secret(one)}
    secret = {PREFIX + one.name.upper(): {"$ref": "#/definitions/inSecret"} for one in ours}
    return {"settings": _closed(plain), "settingsFromSecrets": _closed(secret)}


def _secret(one: Any) -> bool:
    return bool(one.metadata["secret"])


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _of_one(hint: Any, facts: Any) -> dict[str, Any]:
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        return {"enum": [*choices, *(bare for word, bare in BARE.items() if word in choices)]}
    if hint is int:
        most = {"maximum": facts["high"]} if facts["high"] < UNBOUNDED else {}
        return {"type": "integer", "minimum": facts["low"], **most}
    return {"type": "string", "pattern": f"^({facts['like']})$"} if facts["like"] else {"type": "string"}


def remade() -> str:
    """The file as it is to be."""
    schema = json.loads(SCHEMA.read_text())
    schema["properties"] |= of_settings()
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(remade())
