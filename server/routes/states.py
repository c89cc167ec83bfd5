"""Translates the states of versions, as the store reports them, into the terms of each protocol."""

from typing import Any

from server.errors import UnknownModel
from server.models.repository.store import IndexEntry
from server.routes.service import service

OF_TENSORFLOW = {"READY": "AVAILABLE", "LOADING": "LOADING", "UNLOADING": "UNLOADING"}  # all else has ended


def version_status(model: str, version: str | None = None) -> list[dict[str, Any]]:
    """The states of a model's versions, or of one, as TensorFlow Serving tells them: newest first.

    Raises:
        UnknownModel: there is none.
    """
    entries = [one for one in service().store.index() if one["name"] == model and version in (None, one["version"])]
    if not entries:
        which = f"any versions of model {model[:256]}" if version is None else f"version {version} of model {model}"
        raise UnknownModel(f"Could not find {which}; see /v1/models")
    return [_status(one) for one in sorted(entries, key=lambda one: -int(one["version"]))]


def _status(entry: IndexEntry) -> dict[str, Any]:
    state = OF_TENSORFLOW.get(entry["state"], "END")
    code = "UNKNOWN" if state == "END" and entry["reason"] else "OK"
    return {
        "version": entry["version"],
        "state": state,
        "status": {"error_code": code, "error_message": entry["reason"]},
    }


def is_ready(model: str, version: str) -> bool:
    """Whether this version can predict now."""
    return any(
        (one["name"], one["version"], one["state"]) == (model, version, "READY") for one in service().store.index()
    )


def is_server_ready() -> bool:
    """Whether the model that answers by default can predict now."""
    served_models, model = service().store.served_models, service().model
    return model in served_models and is_ready(model, served_models[model].default_number)
