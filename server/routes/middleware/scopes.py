"""What a key must be good for, route by route: the one table.

A route that is not in it needs `admin`, and fails a test.
"""

from collections.abc import Mapping
from typing import Literal

from server.auth.keys import Scope

Need = Scope | Literal["open", "any"]
"""open: everybody, also without a key. any: whoever has a key, whatever for."""

NEEDS: Mapping[str, Need] = {  # by endpoint
    "ops.root": "open",
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
    "compare.compare": "explain",
    "attack.attack": "explain",
    "explanations.one": "explain",
    "v1.predict": "predict",
    "v1.classify": "predict",
    "v1.explain": "explain",
    "v1.status": "any",
    "v1.metadata": "any",
    "v2.live": "open",
    "v2.ready": "open",
    "v2.server": "any",
    "v2.models": "any",
    "v2.metadata": "any",
    "v2.model_ready": "any",
    "v2.predict": "predict",
    "v2.explain": "explain",
    "v2.index": "admin",
    "v2.load": "admin",
    "v2.unload": "admin",
}
LINKED = "/v1/explanations/"  # what lies below is also open to a GET with a signed link
UNLIMITED = frozenset({"ops.metrics"})  # endpoints that no rate limit counts, beside those that are open


def need(endpoint: str | None) -> Need:
    """What the key of a request must be good for; where nothing is, there is nothing to protect."""
    return "open" if endpoint is None else NEEDS.get(endpoint, "admin")
