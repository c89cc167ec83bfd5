"""What the benchmark is expected to show, and whether it did: every verdict is computed from the rows."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.explaining.measures import Row


@dataclass(frozen=True)
class Verdict:
    what: str
    target: str
    measured: str
    reached: bool | None  # None: not measured this time


@dataclass(frozen=True)
class Results:
    """All that was measured: the rows, and single figures in milliseconds by name."""

    rows: Sequence[Row]
    figures: Mapping[str, float]

    def row(self, method: str, library: str, name: str | None = None) -> Row | None:
        """The row of a library's method; None where it was not asked or failed."""
        fitting = [
            one
            for one in self.rows
            if (one.method, one.library) == (method, library) and one.error is None and name in (None, one.name)
        ]
        return fitting[0] if fitting else None


Goal = Callable[[Results], Verdict]


def faster(method: str, library: str, name: str, least: float) -> Goal:
    """Our `method` takes at most 1 / `least` of the peer's time."""

    def judged(results: Results) -> Verdict:
        row = results.row(method, library, name)
        times = math.nan if row is None or row.times is None else row.times
        what = f"`{method}`: times faster than {library}'s {name}"
        return verdict(what, f"at least {least:g}", f"{times:.1f}", times, times >= least)

    return judged


def as_sure(method: str, library: str, name: str, least: float) -> Goal:
    """Our `method` takes at most 1 / `least` of the time after which the peer has its seed noise too. The square of
    that falls as samples grow in number, so times are multiplied by the ratio of the squares."""

    def judged(results: Results) -> Verdict:
        own, row = results.row(method, "inkling"), results.row(method, library, name)
        times = math.nan
        if own is not None and row is not None and row.times is not None and own.noise and row.noise:
            times = row.times * (row.noise / own.noise) ** 2
        what = f"`{method}`: times faster than {library}'s {name}, to the same seed noise"
        return verdict(what, f"at least {least:g}", f"{times:.1f}", times, times >= least)

    return judged


def alike(method: str, library: str, name: str, most: float) -> Goal:
    """Our values are the peer's to `most`."""

    def judged(results: Results) -> Verdict:
        row = results.row(method, library, name)
        difference = math.nan if row is None or row.difference is None else row.difference
        what = f"`{method}`: largest difference from {library}'s {name}"
        return verdict(what, f"at most {most:g}", f"{difference:.1e}", difference, difference <= most)

    return judged


def smaller_gap(method: str, library: str, name: str, most: float) -> Goal:
    """Our completeness gap is at most `most` of the peer's."""

    def judged(results: Results) -> Verdict:
        own, row = results.row(method, "inkling"), results.row(method, library, name)
        share = math.nan
        if own is not None and row is not None and own.gap is not None and row.gap:
            share = own.gap / row.gap
        what = f"`{method}`: completeness gap as a share of {library}'s {name}"
        return verdict(what, f"at most {most:.2f}", f"{share:.2f}", share, share <= most)

    return judged


def below(figure: str, what: str, most: float) -> Goal:
    """A single figure stays below `most` milliseconds."""

    def judged(results: Results) -> Verdict:
        value = results.figures.get(figure, math.nan)
        return verdict(what, f"below {most:g} ms", f"{value:.2f} ms", value, value < most)

    return judged


def verdict(what: str, target: str, measured: str, value: float, reached: bool) -> Verdict:
    """`reached` and `measured`, unless `value` is NaN because nothing was measured."""
    return Verdict(what, target, "-", None) if math.isnan(value) else Verdict(what, target, measured, reached)


GOALS: tuple[Goal, ...] = (
    faster("lime", "lime", "LimeImageExplainer", 15),
    alike("lime", "lime", "LimeImageExplainer", 1e-5),  # theirs asks TensorFlow, whose logits differ by as much
    faster("saliency", "captum", "Saliency", 4),
    faster("saliency", "xplique", "Saliency", 15),
    faster("gradient_x_input", "captum", "InputXGradient", 4),
    faster("gradient_x_input", "xplique", "GradientInput", 15),
    faster("integrated_gradients", "captum", "IntegratedGradients", 2),
    faster("integrated_gradients", "xplique", "IntegratedGradients", 5),
    faster("smooth_grad", "captum", "NoiseTunnel", 1.5),
    faster("smooth_grad", "xplique", "SmoothGrad", 4),
    faster("grad_cam", "captum", "LayerGradCam", 3),
    faster("grad_cam", "xplique", "GradCAM", 15),
    faster("expected_gradients", "shap", "GradientExplainer, all classes", 8),
    faster("expected_gradients", "shap", "GradientExplainer", 1.8),
    as_sure("expected_gradients", "shap", "GradientExplainer", 1.8),
    smaller_gap("expected_gradients", "shap", "GradientExplainer", 1 / 3),
    faster("shapley", "shap", "ExactExplainer", 1.2),
    below("shapley_median", "exact `shapley`, median of the test digits", 60),
    faster("occlusion", "xplique", "Occlusion", 5),
    as_sure("rise", "xplique", "Rise", 3),
    below("server_explain", "`saliency` inside the server", 3),
)
