"""Run by .venv-kserve: what an InferenceService on standard input has that KServe's own models do not know.

KServe's Python client is generated from the types that its CRD is generated from. One line for each fault.
"""

import json
import re
import sys

import kserve.models
import kubernetes.client.models

PLAIN = {"str": str, "int": int, "float": (int, float), "bool": bool, "ResourceQuantity": (str, int)}


def faults(value, kind, path):
    """Where a value is not of a kind, as the client writes kinds: V1Container, list[str], dict(str, str)."""
    if kind in PLAIN:
        fits = isinstance(value, PLAIN[kind]) and (kind == "bool" or not isinstance(value, bool))
        return [] if fits else [f"{path}: {value!r} is no {kind}"]
    if listed := re.fullmatch(r"[lL]ist\[(.*)\]", kind):
        return [one for at, item in enumerate(value) for one in faults(item, listed[1], f"{path}[{at}]")]
    if mapped := re.fullmatch(r"[dD]ict[\[(]str, (.*)[\])]", kind):
        return [one for key, item in value.items() for one in faults(item, mapped[1], f"{path}.{key}")]
    if kind == "object":
        return []
    model = getattr(kserve.models, kind, None) or getattr(kubernetes.client.models, kind)
    types = {model.attribute_map[name]: of for name, of in model.openapi_types.items()}
    unknown = [f"{path}: {kind} has no {key}" for key in value if key not in types]
    known = [one for key, item in value.items() if key in types for one in faults(item, types[key], f"{path}.{key}")]
    return unknown + known


if __name__ == "__main__":
    sys.stdout.write("\n".join(faults(json.load(sys.stdin), "V1beta1InferenceService", "")))
