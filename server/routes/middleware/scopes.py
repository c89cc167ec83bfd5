"""Which scope does each route need, and which routes are guarded otherwise? The one place of such tables.

A route that is not in NEEDS needs `admin`, and fails a test.
"""

from collections.abc import Mapping
from typing import Literal

from server.auth.keys import Scope

Need = Scope | Literal["open", "any"]
"""open: no key is needed. any: a key with any scope."""

NEEDS: Mapping[str, Need] = {  # by endpoint
    "page.root": "open",
    "page.embed": "open",
    "page.asset": "open",
    "page.favicon": "open",
    "ops.livez": "open",
    "ops.readyz": "open",
    "ops.metrics": "admin",
    "docs.openapi": "open",
    "docs.docs": "open",
    "docs.asset": "open",
    "predict.predict": "predict",
    "explain.explain": "explain",
    "models.methods": "any",
    "models.models": "any",
    "models.one_model": "any",
    "models.card": "any",
    "views.map_of": "any",
    "views.prototypes": "any",
    "rollouts.shadow": "any",
    "compare.compare": "explain",
    "attack.attack": "explain",
    "explanations.one": "explain",
    "feedback.feedback": "predict",
    "jobs.add": "explain",
    "jobs.jobs": "admin",
    "jobs.one": "explain",
    "jobs.result": "explain",
    "jobs.remove": "explain",
    "tensorflow_serving.predict": "predict",
    "tensorflow_serving.classify": "predict",
    "tensorflow_serving.explain": "explain",
    "tensorflow_serving.status": "any",
    "tensorflow_serving.metadata": "any",
    "open_inference.live": "open",
    "open_inference.ready": "open",
    "open_inference.server": "any",
    "open_inference.models": "any",
    "open_inference.metadata": "any",
    "open_inference.config": "any",
    "open_inference.model_ready": "any",
    "open_inference.predict": "predict",
    "open_inference.explain": "explain",
    "open_inference.index": "admin",
    "open_inference.load": "admin",
    "open_inference.unload": "admin",
}
LINKED = "/v1/explanations/"  # what lies below is also open to a GET with a signed link
UNLIMITED = frozenset({"ops.metrics"})  # endpoints that no rate limit counts, beside those that are open
PROBES = frozenset({"ops.livez", "ops.readyz", "open_inference.live", "open_inference.ready"})  # asked by IP address
CHANGES_MODELS = frozenset({"open_inference.load", "open_inference.unload"})  # INKLING_REPOSITORY says who may
# no page of another site may ask these
OWN_PAGES = CHANGES_MODELS | {"open_inference.index", "feedback.feedback", "jobs.add", "jobs.remove"}


def need(endpoint: str | None) -> Need:
    """The scope that a request to this endpoint needs; an unknown path (None) needs none."""
    return "open" if endpoint is None else NEEDS.get(endpoint, "admin")
