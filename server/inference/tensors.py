"""Predicts and explains the rows of a tensor, for clients that send numbers instead of pictures.

Beside predict.py and explain.py; like them, it knows neither HTTP nor TensorFlow. Nothing is normalised: rows are the
model's own images, 0 = paper and 1 = ink.
"""

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from server.errors import BadRequest, InvalidTensor, OutOfTime
from server.images import announced_cost, check_total, from_array, looks_blank, plain_pixels
from server.inference.explain import ExplainRequest, build_explainer, run_explainer
from server.inference.predict import Stages, predict_pixels
from server.models.wrappers import Memo, probabilities_of
from server.protocols import NO_DEADLINE, ModelVersion, RequestContext
from server.scheduling import Interrupt, Publish, Session
from server.types import Array, Explanation, ImageSpec, ModelCard

Outputs = dict[str, Array]

STEP = 256  # rows between two checks of the clock
MOST_PIXELS = 16_000_000  # of all encoded pictures together, which bounds how long one request decodes


def checked_images(sent: Array, spec: ImageSpec, limit: int) -> Array:
    """The rows as images (n, H, W) float32.

    Raises:
        InvalidTensor: another shape than (n, H, W), (n, H, W, 1) or (n, H * W), or a number outside [0, 1].
        BadRequest: no row, or more than `limit`.
    """
    height, width = spec.height, spec.width
    if sent.shape[1:] not in ((height, width), (height, width, 1), (height * width,)):
        raise InvalidTensor(
            f"images have shape {list(sent.shape)[:10]}; expected [n, {height}, {width}], [n, {height}, {width}, 1] or "
            f"[n, {height * width}]; reshape them, or post a picture of any size to /v1/predict"
        )
    check_count(len(sent), limit)
    with np.errstate(over="ignore", invalid="ignore"):
        images = sent.astype(np.float32, copy=False).reshape(-1, height, width)
    if not (images.min() >= 0 and images.max() <= 1):  # NaN is neither
        row, *where = np.argwhere(~((images >= 0) & (images <= 1)))[0].tolist()
        raise InvalidTensor(
            f"row {row} of images has {images[row][tuple(where)]:g} at {where}; expected finite numbers from 0 (paper) "
            "to 1 (ink); divide bytes by 255"
        )
    return images


def blank_rows(images: Array) -> list[int]:
    """The rows without ink that stands out, whose answers mean nothing."""
    return [int(row) for row in np.flatnonzero(looks_blank(images))]


def check_count(rows: int, limit: int) -> None:
    """Raises BadRequest for no row, or more than `limit`."""
    if rows == 0:
        raise BadRequest("no row in the request; expected at least one")
    if rows > limit:
        raise BadRequest(f"{rows} rows in one request; at most {limit} are answered, send them in several requests")


def predict_rows(version: ModelVersion, images: Array, context: RequestContext = NO_DEADLINE) -> Outputs:
    """What signature `serving_default` gives for checked images, float32 (n, K).

    Raises:
        OutOfTime: the deadline passed before all rows had their turn.
        ClientLeft: the client did, while rows waited for their turn.
        QueueFull: too many rows wait already.
        NotReady: the version is still loading.
    """
    model = version.for_predict(context)
    parts = []
    for start in range(0, len(images), STEP):
        if context.remaining() <= 0:
            raise OutOfTime(f"{start} of {len(images)} rows were answered within the timeout; raise it, or send fewer")
        parts.append(model.forward(images[start : start + STEP]))
    logits = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if not np.isfinite(logits).all():
        raise FloatingPointError(f"{version.card.name} version {version.card.version} gave logits that are not finite")
    return _outputs(logits, probabilities_of(logits, version.card.temperature))


def judged(card: ModelCard, outputs: Outputs) -> tuple[Array, Array, Array]:
    """For each of the n rows the predicted class, its probability, and whether it is out of distribution."""
    logits, probabilities = outputs["logits"], outputs["probabilities"].max(axis=1)
    # the largest probability is exp(logit / temperature) over a sum whose log the energy score is made of
    energy = logits.max(axis=1) - card.temperature * np.log(probabilities)
    return logits.argmax(axis=1), probabilities, energy < card.energy_threshold


def predict_bytes(version: ModelVersion, files: Sequence[bytes], context: RequestContext = NO_DEADLINE) -> Outputs:
    """What signature `serving_bytes` gives for encoded pictures, float32 (n, K), whether or not the version has it.

    Raises:
        PictureError: one of them cannot be decoded, or has several frames; or they are too much work together.
        BadRequest: together they have too many pixels.
        ServiceError: as predict_rows() does; OutOfTime also before all pictures were decoded.
    """
    costs = [announced_cost(file) for file in files]
    total = sum(cost.width * cost.height for cost in costs)
    if total > MOST_PIXELS:
        raise BadRequest(f"the pictures have {total} pixels together; at most {MOST_PIXELS} are decoded, send fewer")
    check_total(costs)
    size = version.card.image
    images = np.empty((len(files), size.height, size.width), np.float32)
    for number, file in enumerate(files):  # one after the other: decoded, small files may be large pictures
        if context.remaining() <= 0:
            raise OutOfTime(f"{number} of {len(files)} pictures were decoded in time; raise the timeout, or send fewer")
        images[number] = plain_pixels(file, size)
    return predict_rows(version, images, context)


def explain_rows(
    version: ModelVersion,
    images: Array,
    request: ExplainRequest,
    session: Session,
    resources: ExitStack,
    stages: Stages,
) -> list[Explanation]:
    """Why each of the checked images is answered as it is, each within its fair share of the remaining time.
    `resources` hold the version, and are closed when the work ends.

    Raises:
        ServiceError: as explain() does; one row without a result fails all.
    """
    explainer, context = build_explainer(request, version), session.context
    context.raise_if_expired()
    with stages("predict"):
        predictions = [predict_pixels(version, pixels, context) for pixels in images]

    def work(publish: Publish[list[Explanation]], interrupt: Interrupt) -> list[Explanation]:
        found: list[Explanation] = []
        for pixels, prediction in zip(images, predictions, strict=True):
            share = context.cancelled_by(interrupt).share(len(images) - len(found))
            memo = Memo() if request.quality else None
            digit = from_array(pixels)
            found.append(run_explainer(version, share, digit, prediction, explainer, request, stages, memo))
        return found

    return session.submit(work, resources=resources).result().value


def outputs_of(explanations: Sequence[Explanation]) -> Outputs:
    """What was predicted for the rows that are explained."""
    predictions = [one.prediction for one in explanations]
    return _outputs(np.stack([one.logits for one in predictions]), np.stack([one.probabilities for one in predictions]))


def _outputs(logits: Array, probabilities: Array) -> Outputs:
    return {"logits": logits.astype(np.float32), "probabilities": probabilities.astype(np.float32)}
