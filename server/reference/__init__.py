"""engine=reference: the lime and shap packages themselves on the same model, to compare with
their own values.

One file per method, each with an explainer as in `server/explainers/`, and the `packages` that it needs: a server for
which only requirements-lite.txt is installed has none of them. They are slow to import, draw from numpy's global
generator and call the model in their own way: they are imported when first needed, and only one request of a process
uses them at a time (exclusive.py).
"""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from server.errors import EngineNotInstalled, MethodNotPossible
from server.explainers import ALIASES, COUNTERPARTS, EXPLAINERS, fitted
from server.options import describe, unknown_method
from server.reference.exclusive import exclusive as exclusive
from server.reference.expected_gradients import ExpectedGradientsPackage
from server.reference.keras_model import KerasModel as KerasModel
from server.reference.lime import LimePackage
from server.reference.shapley import ShapleyPackage
from server.types import Explainer, ModelCard, Verb

ENGINES = ("inkling", "reference")
REFERENCES: dict[str, Any] = {
    explainer.name: explainer for explainer in (ShapleyPackage, LimePackage, ExpectedGradientsPackage)
}


def build(name: str, options: Mapping[str, Any], card: ModelCard, verbs: frozenset[Verb]) -> Explainer:
    """The reference for method `name` with `options` checked and put into its fields.

    Raises:
        UnknownMethod: no such method; the message lists those with a reference.
        MethodNotPossible: the method has no reference, or the model cannot do what it needs.
        UnknownOption, InvalidOption: a name or value that the reference does not take.
        EngineNotInstalled: it would be possible, but a package is not there.
    """
    method = ALIASES.get(name, name)
    if method not in EXPLAINERS:
        raise unknown_method(name, REFERENCES, COUNTERPARTS, "method of engine=reference")
    if method not in REFERENCES:
        there_are = f"engine=reference has {', '.join(REFERENCES)}"
        raise MethodNotPossible(f"no package is the reference for {name}; {there_are}; use engine=inkling for {name}")
    explainer = fitted(REFERENCES[method], options, card, verbs)
    if missing := missing_for(method):
        raise EngineNotInstalled.lacks(method, missing)
    return explainer


def missing_for(method: str) -> list[str]:
    """Packages that the reference for `method` needs and that are not installed; none is imported to find out."""
    return [package for package in REFERENCES[method].packages if find_spec(package) is None]


def engines_of(name: str) -> dict[str, Any]:
    """What GET /v1/methods says of the engines of method `name`: which there are, and what the reference is."""
    reference = REFERENCES.get(name)
    if reference is None:
        return {"engines": ["inkling"], "reference": None}
    described = {"revision": reference.revision, "summary": reference.summary, "complete": reference.complete}
    installed = not missing_for(name)
    return {
        "engines": list(ENGINES),
        "reference": {**described, "installed": installed, "options": describe(reference)},
    }
