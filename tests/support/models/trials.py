"""Trials as the referee writes them, with made-up numbers."""

from dataclasses import asdict
from typing import Any

from server.explainers import EXPLAINERS

KINDS = ("mark", "missing", "conjunction", "decoy", "background")
PICTURES = 60  # of each kind


def tried(method: str, named: int = PICTURES, yardstick: float = 0.5, **options: Any) -> dict[str, Any]:
    """What a trial says of a method of today: it named the cause in `named` pictures of each kind."""
    explainer = EXPLAINERS[method](**options)
    return {
        "method": method,
        "revision": explainer.revision,
        "options": asdict(explainer),
        "named": dict.fromkeys(KINDS, named),
        "chance": dict.fromkeys(KINDS, 0.1),
        "auroc": dict.fromkeys(KINDS, 0.9),
        "share": dict.fromkeys(KINDS, 0.8),
        "yardstick": yardstick,
        "yardstick_interval": [yardstick - 0.03, yardstick + 0.03],
    }


def trial(*methods: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The file; `changes` replace its fields."""
    siblings = [{"kind": kind, "classes": 10, "accuracy": 1.0, "without": 0.11, "chance": 0.1} for kind in KINDS]
    return {
        "format": 1,
        "of": "sha256:ab",
        "pictures": PICTURES,
        "digits": 500,
        "siblings": siblings,
        "controls": {"ink": 0.27, "random": -0.02},
        "methods": list(methods),
        **changes,
    }


TRIED = trial(  # the order of belief is occlusion, shapley, lime, saliency
    tried("saliency", named=60, yardstick=0.2),
    tried("shapley", named=59, yardstick=0.6),
    tried("lime", named=22, yardstick=0.9),
    tried("occlusion", named=60, yardstick=0.78, patch=5, stride=1),
)
