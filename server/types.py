"""The domain model: protocols and value objects that every layer shares.

Imports numpy and nothing of ours, so that any file may import it. Shapes are written with n = rows, H x W = the model's
image, K = classes, D = width of the embedding; every array of pixels is float32 in [0, 1] with 0 = paper and 1 = ink.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, get_args

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

Verb = Literal["forward", "gradient", "features", "feature_map", "attention"]
"""What a model can do. `feature_map` and `attention` say what `features` gives beside the embedding."""

State = Literal["exact", "converged", "partial"]
"""exact: no approximation at all. converged: an approximation that met its stopping rule or did all that its options
ask. partial: stopped before that."""

Stop = Literal["exact", "converged", "limit", "budget"]
"""Why no better attribution was sought: nothing is left to improve, the method's own rule, the end of what its options
allow, or of the request's time."""

Runtime = Literal["litert", "tensorflow"]
"""What computes a model."""

Output = Literal["logit", "probability"]
"""What of a model is explained."""

Unit = Literal["logit", "probability", "logit_per_ink", "probability_per_ink", "share", "score"]
"""What attribution values are: parts of a difference of the target's output (logit, probability), that output's
slope per unit of ink (.._per_ink), parts of 1 (share), or numbers without a unit (score). Only equal units share a
scale."""


@dataclass(frozen=True)
class ImageSpec:
    """The picture that a model takes: height and width in pixels; one channel, 0 = paper, 1 = ink.

    `preprocessing` says what it was trained on: digits that are cropped, scaled and centred as MNIST's are, or whole
    pictures resized."""

    height: int
    width: int
    preprocessing: Literal["digit", "resize"] = "digit"


Role = Literal["predict", "explain"]
"""What a LiteRT file is for."""


@dataclass(frozen=True)
class Quantization:
    """What rounding its weights has done to a file that predicts, measured on `images` when it was made: the share of
    them to which it gives the same label as the SavedModel, and the largest difference of a logit."""

    scheme: str
    images: int
    same_labels: float
    max_error: float


@dataclass(frozen=True)
class LiteRTFile:
    """One of a version's LiteRT files: what it is for, and by verb for how many rows each of its functions is."""

    path: str  # in the version's folder
    roles: frozenset[Role]
    rows: Mapping[str, tuple[int, ...]]
    memory_bytes: int  # that an interpreter of it takes
    quantized: Quantization | None = None  # then it only predicts


@dataclass(frozen=True)
class TrialResult:
    """How one configuration of a method did in a trial."""

    method: str
    revision: int
    options: Mapping[str, Any]
    named: Mapping[str, int]  # by kind of planted cause: in how many of the trial's pictures the method named it
    yardstick: float
    interval: tuple[float, float]  # of the yardstick


@dataclass(frozen=True)
class Trial:
    """What came out when methods were asked about nets like this version whose causes are known, because they were
    planted; and on a yardstick, beside two maps that explain nothing."""

    pictures: int  # for each kind of planted cause
    digits: int  # that the yardstick was taken on
    ink: float  # yardstick of the ink itself taken as the map
    random: float  # and of a random map
    results: tuple[TrialResult, ...]


@dataclass(frozen=True)
class Views:
    """What a version shows of what it has learned: of m centroids of its training images the place on a map, the class
    that it reads in them, and its embedding of them; and by class a picture that excites it."""

    positions: Array  # (m, 2) in [0, 1], from the upper left corner
    classes: Array  # (m,) int, indices
    embeddings: Array  # (m, D)
    prototypes: Array  # (K, H, W) in [0, 1]


REFERENCE_BOUNDS = (0.3, 0.5, 0.7, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)  # of bins of the answered probability
REFERENCE_CELLS = 4  # in a row, in which evidence is compared


@dataclass(frozen=True)
class Reference:
    """What is usual for a version, measured on images of its kind: shares of the classes that it reads, of its
    confidence by bins, of what is out of distribution; and by class the mean shares of evidence in cells, by a method
    with its defaults."""

    images: int
    classes: Array  # (K,)
    confidence: Array  # (len(REFERENCE_BOUNDS) + 1,)
    out_of_distribution: float
    method: str
    cells: Array  # (K, REFERENCE_CELLS ** 2)


@dataclass(frozen=True)
class Neighbour:
    """A centroid: its index, the class that the version reads in it, and how far it is, 0 .. 2: 1 less the cosine of
    the angle between embeddings."""

    centroid: int
    label: str
    distance: float


@dataclass(frozen=True)
class Neighbours:
    """Where a digit lands among what a version has learned: its place on the map, in [0, 1], and its nearest centroids,
    of its class and of the class that comes next. A class may have none."""

    position: tuple[float, float]
    own: tuple[Neighbour, ...]
    next: tuple[Neighbour, ...]


COVERAGE = 0.999
"""Of prediction sets that nobody chose another for: the shipped nets are right too often for less to say anything."""


@dataclass(frozen=True)
class PredictionSet:
    """The classes that a digit may be, the likeliest first: for a share `coverage` of digits like the `n` that this was
    calibrated on, the right one is among them."""

    classes: tuple[int, ...]
    coverage: float
    n: int


@dataclass(frozen=True)
class ConformalScores:
    """What held-out digits say of prediction sets: of `n` of them, the `lowest` probabilities that a version gave the
    right class, in ascending order.

    A set of the classes whose probability is at least the floor((n + 1) (1 - coverage))-th lowest of these holds the
    right one for a share `coverage` of all digits that are like them: split conformal prediction with the score 1 - p,
    Vovk et al., Algorithmic Learning in a Random World (2005), doi:10.1007/b106715; Sadinle et al., Least Ambiguous
    Set-Valued Classifiers (2019), arXiv:1609.00451.
    """

    n: int
    lowest: tuple[float, ...]

    @property
    def range(self) -> tuple[float, float]:
        """The coverages, least and greatest, that these digits can vouch for."""
        return 1 - (len(self.lowest) + 0.5) / (self.n + 1), self.n / (self.n + 1)

    def threshold(self, coverage: float) -> float:
        """The probability that a class of the set has at least; `coverage` lies in `range`."""
        # without the last digits, in which 1001 * (1 - 0.999) is less than 1.001
        return self.lowest[int(round((self.n + 1) * (1 - coverage), 6)) - 1]

    def prediction_set(self, probabilities: Sequence[float], coverage: float) -> PredictionSet | None:
        """The classes that a digit with these probabilities (K,) may be, never none of them; None where these digits
        cannot vouch for `coverage`."""
        low, high = self.range
        if not low <= coverage <= high:
            return None
        first, *rest = sorted(range(len(probabilities)), key=lambda index: -probabilities[index])
        least = self.threshold(coverage)
        return PredictionSet((first, *(one for one in rest if probabilities[one] >= least)), coverage, self.n)


@dataclass(frozen=True)
class ModelCard:
    """What is known of one version without running it; read from its `model_card.json` and `background.npz`.

    `digest` is the SHA-256 of the card file. Probabilities are softmax(logits / temperature). A picture whose energy
    score temperature * logsumexp(logits / temperature) is below `energy_threshold` does not look like the training
    data.
    """

    name: str
    version: str
    digest: str
    architecture: str
    classes: tuple[str, ...]
    image: ImageSpec
    temperature: float
    energy_threshold: float
    background: Array  # (m, H, W) float32, k-means centroids of the training images
    verbs: frozenset[Verb]
    litert: tuple[LiteRTFile, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    trial: Trial | None = None  # where the version was tried
    conformal: ConformalScores | None = None  # where its card has one
    views: Views | None = None  # where it has the file
    reference: Reference | None = None  # where it has the file

    @property
    def quantization(self) -> Quantization | None:
        """Of the file that predicts; None where it answers like the SavedModel."""
        return next((file.quantized for file in self.litert if "predict" in file.roles), None)


@dataclass(frozen=True)
class Features:
    """What a model sees on the way to its logits, for n rows; None where it has no such thing."""

    embedding: Array  # (n, D)
    feature_map: Array | None  # (n, h, w, c)
    feature_gradient: Array | None  # (n, h, w, c), d(weights . logits) / d feature_map
    attention: Array | None  # (n, H, W), each row sums to 1


class Model(Protocol):
    """A classifier as three verbs on arrays: numpy in, numpy out, any number of rows, safe to call from several
    threads."""

    @property
    def card(self) -> ModelCard: ...

    @property
    def verbs(self) -> frozenset[Verb]: ...

    def forward(self, images: Array) -> Array:
        """Logits (n, K) of images (n, H, W)."""
        ...

    def gradient(self, images: Array, weights: Array) -> Array:
        """d(weights . logits) / d images, (n, H, W), for images (n, H, W) and weights (n, K)."""
        ...

    def features(self, images: Array, weights: Array) -> Features:
        """The inner views of images (n, H, W); the feature gradient is that of weights . logits, weights (n, K)."""
        ...


@dataclass(frozen=True)
class Picture:
    """A picture as it was sent: an encoded file, or numbers (`pixels`, straight from JSON and not yet checked)."""

    body: bytes = b""
    pixels: object = None


@dataclass(frozen=True)
class Placement:
    """Where a model's image lies in the picture that was sent, and what was done on the way.

    `transform` (a, b, c, d, e, f) maps a point of the model's image to the sent picture:
    x' = a x + b y + c, y' = d x + e y + f, in pixels, with a pixel's centre at (column + 0.5, row + 0.5).
    `draw` makes `picture`, which not every request needs.
    """

    transform: tuple[float, float, float, float, float, float]
    width: int  # of the sent picture, upright, in pixels
    height: int
    draw: Callable[[], Array] = field(repr=False, compare=False)
    steps: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @cached_property
    def picture(self) -> Array:
        """The sent picture (h, w, 3) uint8 as a person saw it: upright, on its paper, at most 512 pixels long."""
        return self.draw()


@dataclass(frozen=True)
class Digit:
    """One sent picture as the model takes it."""

    pixels: Array  # (H, W) float32 in [0, 1]
    placement: Placement


@dataclass(frozen=True)
class Target:
    """What is explained: a row of weights over the model's outputs. Class 7 is one-hot; "4, not 9" is +1 and -1.

    Always an array, never a class index, so that one trace serves every class and class 0 is not mistaken for "none".
    """

    weights: Array  # (K,) float32
    index: int
    versus: int | None
    label: str

    @staticmethod
    def of_class(index: int, classes: tuple[str, ...]) -> "Target":
        weights = np.zeros(len(classes), np.float32)
        weights[index] = 1
        return Target(weights, index, None, classes[index])

    @staticmethod
    def contrast(index: int, versus: int, classes: tuple[str, ...]) -> "Target":
        weights = np.zeros(len(classes), np.float32)
        weights[index] += 1
        weights[versus] -= 1
        return Target(weights, index, versus, f"{classes[index]}, not {classes[versus]}")

    def score(self, outputs: Array) -> Array:
        """weights . outputs in float64: (n,) for outputs (n, K)."""
        return outputs.astype(np.float64) @ self.weights.astype(np.float64)


@dataclass(frozen=True)
class InDistribution:
    """Whether the picture looks like the training data: energy score against the threshold measured at export."""

    ok: bool
    score: float
    threshold: float


@dataclass(frozen=True)
class Prediction:
    """What the digit is; computed once per request, so that the explained class cannot change under way."""

    card: ModelCard
    index: int
    probabilities: Array  # (K,)
    logits: Array  # (K,)
    in_distribution: InDistribution
    prediction_set: PredictionSet | None = None  # None: unlike digits, or nobody can vouch for one

    @property
    def label(self) -> str:
        return self.card.classes[self.index]

    @property
    def probability(self) -> float:
        return float(self.probabilities[self.index])


Kind = Literal["bar", "stem", "slant", "curve", "loop", "dot", "ink", "gap"]
"""What a part of a digit looks like: a line nearly level, upright, or neither; bent; closed; a dot; ink without lines;
or an opening between lines."""

Place = Literal["upper left", "top", "upper right", "left", "centre", "right", "lower left", "bottom", "lower right"]
"""Where a part lies in the box of the digit's ink."""

PLACES: tuple[Place, ...] = get_args(Place)

Box = tuple[int, int, int, int]
"""Row, column, height and width, in pixels."""

Section = Literal["upper", "middle", "lower", "left", "right", "top", "bottom"]
"""Which section of a straight line or a loop a part is."""


@dataclass(frozen=True)
class Part:
    """A part of the digit that a person would point at, what taking it away costs, and what the map says of it."""

    kind: Kind
    place: Place | None  # None where it is all over the digit
    section: Section | None  # where it is only a section of a line or loop of that kind and place
    drop: float | None  # of the target's score without it, or of a gap, closed by a stroke; None without time to test
    box: Box  # in the model's image
    supporting: float = 0.0  # shares of all evidence of the map, whose absolute values have the sum 1
    opposing: float = 0.0
    stderr: float | None = None  # standard error of the two together; None where the method cannot say


@dataclass(frozen=True)
class Attribution:
    """How much each pixel speaks for the target, sign kept, and how far that can be trusted.

    Fields are None where the method cannot say. `values` spread each segment's value over its pixels, evenly unless
    `fine`, so that sums are kept. `convergence_delta` = sum(values) - (score - base_value); `uncorrected_delta` is what
    it was before a method made it 0. `rows` counts images put through the model. A value is off by two standard errors
    at most 95 % of the time: where draws are few or uneven, `stderr` is wider than a plain one, by Student's t. It is
    the error of sampling alone. A method that ends by its options without meeting its own rule sets `stop` to "limit".
    """

    values: Array  # (H, W)
    unit: Unit
    state: State
    rows: int
    segments: Array | None = None  # (H, W) int, the number 0 .. n-1 of each pixel's segment
    segment_values: Array | None = None  # (n,)
    score: float | None = None
    base_value: float | None = None
    convergence_delta: float | None = None
    uncorrected_delta: float | None = None
    stderr: Array | None = None  # (H, W), standard error of values
    local_r2: float | None = None
    stop: Stop | None = None  # set when the request ends, as is the next
    top3_probability: float | None = None  # that the three strongest values are the right ones in the right order
    warnings: tuple[str, ...] = ()
    fine: bool = False  # values differ within segments
    bias_max: float | None = None  # how far a penalty has moved a value, at most, in `unit`
    error_parts: Array | None = None  # (k, n), of what is ranked: errors go together as in random sums of these rows

    @property
    def segment_stderr(self) -> Array | None:
        """The standard error (n,) of each segment's value: that of its pixels put together, which are shares of it."""
        if self.segments is None or self.segment_values is None or self.stderr is None:
            return None
        return np.bincount(self.segments.ravel(), self.stderr.ravel(), minlength=len(self.segment_values))

    @property
    def ranked(self) -> tuple[Array, Array | None]:
        """Values and standard errors, each (n,), of what is ranked: segments where there are any, else
        pixels."""
        if self.segments is not None and self.segment_values is not None:
            return self.segment_values, self.segment_stderr
        return self.values.ravel(), None if self.stderr is None else self.stderr.ravel()

    @property
    def painted(self) -> Array:
        """What a heatmap shows at each pixel, (H, W) float64: the value of its segment, or its own where there is none
        or the values are fine."""
        if self.fine or self.segments is None or self.segment_values is None:
            return self.values.astype(np.float64)
        return self.segment_values.astype(np.float64)[self.segments]


PASSED = 0.95  # of the random controls that a map must beat: one in twenty does so by luck


@dataclass(frozen=True)
class Measure:
    """One measure of a map, and the same of two maps that explain nothing; None where it cannot be taken."""

    name: str
    value: float | None
    random: float | None  # of the same cells in random order, the mean of many
    intensity: float | None  # of the ink itself taken as the map
    better: Literal["lower", "higher"]
    beaten: float | None  # share of the random ones that the map beats, ties counted half; None: not of faithfulness
    can_tell: bool = True  # whether the best of the random ones would have passed

    @property
    def better_than_random(self) -> bool | None:
        """None where no map could be told from a random order."""
        if self.beaten is None or not (self.can_tell or self.beaten >= PASSED):
            return None
        return self.beaten >= PASSED

    @property
    def better_than_ink(self) -> bool | None:
        if self.beaten is None or self.value is None or self.intensity is None:
            return None
        return self.value < self.intensity if self.better == "lower" else self.value > self.intensity


class Doubts(NamedTuple):
    """Names of the measures of faithfulness by which a map is not clearly better than a random order, no better than
    the ink, or cannot be told from a random order."""

    random: list[str]
    ink: list[str]
    unknown: list[str]


@dataclass(frozen=True)
class Quality:
    """How faithful a map is."""

    measures: tuple[Measure, ...]
    finished: bool = True  # else there was no time for some measures

    @property
    def faithful(self) -> tuple[Measure, ...]:
        """The measures of faithfulness that could be taken."""
        return tuple(one for one in self.measures if one.beaten is not None)

    @property
    def doubts(self) -> Doubts:
        told = [one for one in self.faithful if one.better_than_random is not None]
        return Doubts(
            [one.name for one in told if not one.better_than_random],
            [one.name for one in told if not one.better_than_ink],
            [one.name for one in self.faithful if one not in told],
        )

    @property
    def passed(self) -> bool | None:
        """Whether the map is better than both controls by every measure of faithfulness that can tell; None where none
        can, or where there was no time for the last of them."""
        random, ink, unknown = self.doubts
        if random or ink:
            return False
        complete = any(one.name == "mu_fidelity" for one in self.measures)
        return True if complete and len(unknown) < len(self.faithful) else None


NAMED = 0.95  # of the pictures whose cause is known: a method that names it in fewer is not to be believed
Z = 1.959963984540054  # of the normal distribution at 95 %


@dataclass(frozen=True)
class TrackRecord:
    """How a method with its options did in the trial of a version."""

    named: Mapping[str, int]  # by kind of planted cause
    pictures: int  # of each kind
    yardstick: float
    ink: float  # yardstick of the ink itself

    @property
    def named_cause(self) -> tuple[int, int]:
        """In how many pictures the method named the known cause, and of how many."""
        return sum(self.named.values()), self.pictures * len(self.named)

    @property
    def interval(self) -> tuple[float, float]:
        """Where the share of `named_cause` lies with a confidence of 95 %: Wilson's score interval
        (doi:10.1080/01621459.1927.10502953)."""
        found, total = self.named_cause
        share, spread = found / total, Z * Z / total
        middle, half = share + spread / 2, Z * ((share * (1 - share) + spread / 4) / total) ** 0.5
        low, high = ((middle + side) / (1 + spread) for side in (-half, half))
        return (0.0 if found == 0 else low), (1.0 if found == total else high)

    @property
    def misses_cause(self) -> bool:
        found, total = self.named_cause
        return found < NAMED * total

    @property
    def loses_to_ink(self) -> bool:
        return self.yardstick <= self.ink

    @property
    def flagged(self) -> bool:
        """Whether the method is not to be believed."""
        return self.misses_cause or self.loses_to_ink

    @property
    def doubt(self) -> tuple[bool, float]:
        """Less comes first in the order of belief."""
        return self.flagged, -self.yardstick


class Explainer(Protocol):
    """A frozen dataclass whose fields are its options. The ClassVars are facts from which listing, validation and
    rendering follow."""

    name: ClassVar[str]
    revision: ClassVar[int]  # raise it when values for the same inputs change: ids and cached explanations contain it
    summary: ClassVar[str]  # one sentence for people
    needs: ClassVar[frozenset[Verb]]
    signed: ClassVar[bool]  # negative values speak against the target
    complete: ClassVar[bool]  # values sum to score - base_value
    paper: ClassVar[str]  # where the method comes from, with DOI or arXiv

    def refine(self, model: Model, image: Array, target: Target, seed: int) -> Iterator[Attribution]:
        """Yield ever better attributions of image (H, W) for target; at least one, bounded rows between two."""
        ...


@dataclass(frozen=True)
class Explanation:
    """All that is needed to show an explanation, and to compute it again; `id` is the hash of what determines it."""

    id: str
    digit: Digit
    prediction: Prediction
    target: Target
    attribution: Attribution
    explainer: Explainer
    seed: int
    output: Output = "logit"
    frame: Literal["original", "model"] = "original"  # where a heatmap lies
    engine: Literal["inkling", "reference"] = "inkling"  # whose code: ours, or the package that people know
    quality: Quality | None = None  # where it was asked for
    kept: bool = False  # whether it can be had again by its id
    runtime: Runtime = "litert"  # that computed it; not in the id, as all give the same values
    parts: tuple[Part, ...] = ()  # of the digit, the costliest first
    trial: TrackRecord | None = None  # where its method was tried; the id has it by the card's digest


@dataclass(frozen=True)
class Belief:
    """Which of several explanations is to be believed: its index, or None, and the reason."""

    index: int | None
    reason: Literal["trial", "untried", "flagged", "models"]


@dataclass(frozen=True)
class Comparison:
    """Several explanations of one picture and one class."""

    explanations: tuple[Explanation, ...]
    agreement: Array  # (m, m) rank correlation of their values on ink; NaN where it is not defined
    difference: Attribution | None  # of two versions: the second less the first
    rows: int  # images put through the models for all of them together
    belief: Belief
