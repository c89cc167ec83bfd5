"""Which of our methods stands beside which of theirs, and with which options; theirs are in peers/."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

LIBRARIES = {  # module in peers/ -> the libraries that it speaks for
    "lime_shap": ("lime", "shap"),
    "xplique": ("xplique",),
    "captum": ("captum",),
}


@dataclass(frozen=True)
class Peer:
    library: str
    name: str  # of the method there, as in peers/
    alike: bool = False  # defined as ours: values for the same seed are compared


@dataclass(frozen=True)
class Comparison:
    method: str
    peers: tuple[Peer, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    base: Literal["black", "typical"] | None = None  # values sum to score - base; None: to nothing in particular
    centred: bool = False  # seed noise is that of values less their mean, because libraries choose another zero
    note: str = ""  # what is not equal
    label: str = ""  # tells it from another comparison of the same method

    @property
    def key(self) -> str:
        """What its rows are found by."""
        return self.label or self.method

    @property
    def call(self) -> str:
        """The method with its options, as one would write it."""
        return f"{self.method}({', '.join(f'{name}={value}' for name, value in self.options.items())})"


COMPARISONS = (
    Comparison(
        "shapley",
        (
            Peer("shap", "ExactExplainer", alike=True),
            Peer("shap", "KernelExplainer"),
            Peer("shap", "PartitionExplainer"),
            Peer("xplique", "KernelShap"),
            Peer("captum", "KernelShap"),
            Peer("captum", "ShapleyValueSampling"),
        ),
        {"grid": 4, "baseline": "black", "within": "even"},
        base="black",
        note="cells of a 4 x 4 grid. shap's Exact and Kernel are told which cells have ink, Kernel then asks each of "
        "their coalitions (below 2^11) once; Partition's players are pixels (500 evaluations); the others draw 1000 "
        "coalitions, ShapleyValueSampling 25 orders. Beyond 13 cells with ink ours is sampled and differs from Exact.",
    ),
    Comparison(
        "lime",
        (Peer("lime", "LimeImageExplainer", alike=True), Peer("xplique", "Lime"), Peer("captum", "Lime")),
        {"n_samples": 1000, "segmentation": "quickshift", "baseline": "colours"},
        note="the same superpixels for all. lime paints in the mean, xplique and captum in black, with kernels of "
        "their own.",
    ),
    Comparison("occlusion", (Peer("xplique", "Occlusion"), Peer("captum", "Occlusion", alike=True)),
               {"patch": 4, "stride": 2, "baseline": "black"},
               note="xplique gives the sum over covering patches instead of the mean."),
    Comparison("rise", (Peer("xplique", "Rise"),), {"n_samples": 1000, "baseline": "black"}, centred=True,
               note="ours subtracts the mean output, so seed noise is that of each map less its mean; and it keeps the "
               "masks of a seed for the next picture, as in the server."),
    Comparison("saliency", (Peer("xplique", "Saliency"), Peer("captum", "Saliency", alike=True)),
               note="ours also asks for the score, a row more; xplique drops the sign."),
    Comparison("gradient_x_input",
               (Peer("xplique", "GradientInput", alike=True), Peer("captum", "InputXGradient", alike=True))),
    Comparison("smooth_grad", (Peer("xplique", "SmoothGrad"), Peer("captum", "NoiseTunnel")),
               {"n_samples": 50, "sigma": 0.2}),
    Comparison("integrated_gradients",
               (Peer("xplique", "IntegratedGradients"), Peer("captum", "IntegratedGradients", alike=True)),
               {"n_steps": 50, "tolerance": 1, "baseline": "black"}, base="black",
               note="50 nodes for all, no refining."),
    Comparison("integrated_gradients",
               (Peer("xplique", "IntegratedGradients"), Peer("captum", "IntegratedGradients")),
               {"baseline": "black"}, base="black", label="integrated_gradients by its own rule",
               note="ours takes 16 nodes, and more where the gap is above 1 %; the others their 50."),
    Comparison("expected_gradients",
               (Peer("shap", "GradientExplainer"), Peer("shap", "GradientExplainer, all classes"),
                Peer("captum", "GradientShap")),
               {"n_samples": 200}, base="typical",
               note="the same 100 backgrounds for all. GradientExplainer by default explains all classes; here it is "
               "also asked for the one alone. Ours takes two rounds at least, 400 gradients, for a standard error."),
    Comparison("grad_cam", (Peer("xplique", "GradCAM"), Peer("captum", "LayerGradCam")),
               note="xplique's over the net rebuilt layer by layer in Keras: a SavedModel shows it no layers."),
)  # fmt: skip
