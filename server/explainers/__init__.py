"""The explanation methods, one file each. To add one: a file, an import, and its name in EXPLAINERS.

Explainers are array code: they ask a Model and know neither HTTP, nor TensorFlow, nor whether they are batched.
"""

from collections.abc import Mapping
from typing import Any

from server.errors import MethodNotPossible
from server.explainers.attention import Attention
from server.explainers.expected_gradients import ExpectedGradients
from server.explainers.grad_cam import GradCam
from server.explainers.gradient_x_input import GradientXInput
from server.explainers.integrated_gradients import IntegratedGradients
from server.explainers.lime import Lime
from server.explainers.occlusion import Occlusion
from server.explainers.rise import Rise
from server.explainers.saliency import Saliency
from server.explainers.shapley import Shapley
from server.explainers.smooth_grad import SmoothGrad, SquareGrad, VarGrad
from server.options import describe, parse, unknown_method
from server.types import Explainer, ModelCard, Verb

EXPLAINERS: dict[str, Any] = {
    explainer.name: explainer
    for explainer in (
        Shapley, Lime, Occlusion, Rise, Saliency, GradientXInput, SmoothGrad, SquareGrad, VarGrad,
        IntegratedGradients, ExpectedGradients, GradCam, Attention,
    )
}  # fmt: skip
ALIASES = {"shap": "shapley"}
BEST = "best"  # in place of a method's name: the one that the version's trial says to believe first
COUNTERPARTS = {  # names in other packages and papers, letters only -> the nearest method here
    **dict.fromkeys(("ig", "intgrad", "intgrads", "xrai", "deeplift", "guidedig", "blurig"), "integrated_gradients"),
    **dict.fromkeys(("gradientshap", "gradshap", "deepshap", "deepliftshap", "eg"), "expected_gradients"),
    **dict.fromkeys(("kernelshap", "partitionshap", "samplingshap", "permutationshap", "sobol", "banzhaf"), "shapley"),
    **dict.fromkeys(("cam", "layercam", "scorecam", "ablationcam", "eigencam", "hirescam"), "grad_cam"),
    **dict.fromkeys(("gradient", "gradients", "vanillagradient", "vanillagradients", "vanilla", "grad"), "saliency"),
    **dict.fromkeys(("guidedbackprop", "guidedbackpropagation", "deconvnet", "deconvolution"), "saliency"),
    **dict.fromkeys(("inputxgradient", "gradinput", "gradtimesinput", "lrp"), "gradient_x_input"),
    **dict.fromkeys(("sg", "noisetunnel"), "smooth_grad"),
    **dict.fromkeys(("ablation", "featureablation", "perturbation", "slidingwindow", "deletion"), "occlusion"),
    **dict.fromkeys(("rollout", "attentionrollout", "attentionmap"), "attention"),
    **dict.fromkeys(("limeimage", "anchor", "anchors"), "lime"),
}


def build(name: str, options: Mapping[str, Any], card: ModelCard, verbs: frozenset[Verb]) -> Explainer:
    """The explainer `name` with `options` checked and put into its fields.

    Raises:
        UnknownMethod: no such method; the message names the nearest and lists them.
        MethodNotPossible: the model cannot do what it needs; the message lists the methods that do fit.
        UnknownOption, InvalidOption: a name or value that the method does not take.
    """
    explainer = EXPLAINERS.get(ALIASES.get(name, name))
    if explainer is None:
        raise unknown_method(name, EXPLAINERS, COUNTERPARTS, "method")
    return fitted(explainer, options, card, verbs)


def fitted(explainer: Any, options: Mapping[str, Any], card: ModelCard, verbs: frozenset[Verb]) -> Explainer:
    """An explainer of this class, for a model with this card and these verbs. Raises as `build` does after the name."""
    if missing := explainer.needs - verbs:
        fitting = ", ".join(methods_for(verbs))
        raise MethodNotPossible(
            f"{card.name} cannot do {explainer.name}: it has no {', '.join(sorted(missing))}; it can do {fitting}"
        )
    built: Explainer = explainer(**parse(explainer, options))
    return built


def methods_for(verbs: frozenset[Verb]) -> list[str]:
    """The methods that a model with these verbs can do."""
    return [name for name, explainer in EXPLAINERS.items() if explainer.needs <= verbs]


def describe_all() -> list[dict[str, Any]]:
    """Every method as data: what it is, what it needs, its options with their ranges."""
    return [
        {
            "name": name,
            "aliases": [alias for alias, of in ALIASES.items() if of == name],
            "revision": explainer.revision,
            "summary": explainer.summary,
            "needs": sorted(explainer.needs),
            "signed": explainer.signed,
            "complete": explainer.complete,
            "paper": explainer.paper,
            "options": describe(explainer),
        }
        for name, explainer in EXPLAINERS.items()
    ]
