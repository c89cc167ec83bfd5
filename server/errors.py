"""Every error that a caller can cause or meet: one short class each, with its HTTP status and stable code.

A message says what was got, what was expected and how to fix it. Anything that is not a ServiceError is a bug of ours:
it is answered as a 500 without its text. This file must not know HTTP beyond the numbers.
"""

from collections.abc import Sequence


class ServiceError(Exception):
    """Base of all errors: `status` and `code` go to the client beside the message."""

    status = 500
    code = "internal_error"
    retry_after: int | None = None  # seconds


class BadRequest(ServiceError):
    """The request cannot be read: broken JSON, unknown option, value out of range."""

    status = 400
    code = "bad_request"


class InvalidTensor(BadRequest):
    """Numbers in a shape, type or range that the model does not take."""

    code = "invalid_tensor"


class UnknownSignature(BadRequest):
    """No signature, input or output of that name."""

    code = "unknown_signature"


class UnknownLabel(BadRequest):
    """No version has that label: a 400 to TensorFlow Serving, while a version that is not there is a 404."""

    code = "unknown_label"


class PictureError(ServiceError):
    """Base of what can be wrong with one picture, apart from the rest of the request."""


class UnknownOption(BadRequest):
    """An unknown name among the options."""

    code = "unknown_option"


class InvalidOption(BadRequest):
    """A known option with a value that it cannot take."""

    code = "invalid_option"


class AlreadyAnswered(InvalidOption, PictureError):
    """An attack towards the class that is predicted already."""


class InvalidPixels(PictureError):
    """Pixels sent as numbers in a shape or range that no model takes."""

    status = 400
    code = "invalid_pixels"


class EmptyBody(PictureError):
    """No picture in the request."""

    status = 400
    code = "empty_body"


class DamagedImage(PictureError):
    """Recognised as a picture, but it cannot be decoded to its end."""

    status = 400
    code = "damaged_image"


class KeyInQuery(BadRequest):
    """A key among the options, where logs and histories keep it."""

    code = "key_in_query"


class Unauthorized(ServiceError):
    """No key, or an unknown one."""

    status = 401
    code = "unauthorized"


class Forbidden(ServiceError):
    """A key without the needed scope, a page of another site, or what is switched off."""

    status = 403
    code = "forbidden"


class UnknownModel(ServiceError):
    """No model, version or label of that name."""

    status = 404
    code = "unknown_model"


class BrokenModel(ServiceError):
    """No version of the model can be served."""

    status = 422
    code = "broken_model"


class UnknownMethod(ServiceError):
    """No explanation method of that name."""

    status = 404
    code = "unknown_method"


class UnknownExplanation(ServiceError):
    """No explanation is kept under that id."""

    status = 404
    code = "unknown_explanation"


class Misdirected(ServiceError):
    """Asked under a host name that this server does not answer to."""

    status = 421
    code = "misdirected_request"


class NotAcceptable(ServiceError):
    """No requested format is available."""

    status = 406
    code = "not_acceptable"


class BodyTooLarge(ServiceError):
    """More bytes than are read."""

    status = 413
    code = "body_too_large"


class ImageTooLarge(PictureError):
    """More pixels than are decoded, or more work or memory to decode them."""

    status = 413
    code = "image_too_large"


class UnsupportedImage(PictureError):
    """Not a picture, or one in a format that is not read here."""

    status = 415
    code = "unsupported_image"


class BlankImage(PictureError):
    """A picture without anything that could be a digit."""

    status = 422
    code = "blank_image"


class TooManyRequests(ServiceError):
    """More than one key, or one address, may ask; `retry_after` is when that ends."""

    status = 429
    code = "too_many_requests"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class MethodNotPossible(ServiceError):
    """The model cannot do what the method needs."""

    status = 422
    code = "method_not_possible"


class EngineNotInstalled(MethodNotPossible):
    """A package that engine=reference runs is not installed where this server runs."""

    code = "engine_not_installed"

    @classmethod
    def lacks(cls, method: str, missing: Sequence[str]) -> "EngineNotInstalled":
        """The error for these `missing` packages, at least one."""
        names = " and ".join(missing)
        return cls(
            f"engine=reference cannot run {method} here: {names} {'is' if len(missing) == 1 else 'are'} not installed; "
            "`pip install -r requirements.txt` on the server, or use engine=inkling"
        )


class TooManySegments(MethodNotPossible, PictureError):
    """This picture has more cells than the method can enumerate."""


class NotReady(ServiceError):
    """Will be possible shortly."""

    status = 503
    code = "not_ready"

    def __init__(self, message: str, retry_after: int = 2) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Busy(ServiceError):
    """Every slot for explaining is taken, every place to wait for others' work, or large pictures are decoded one after
    the other for too long; other predictions go on."""

    status = 503
    code = "busy"

    def __init__(self, why: str, retry_after: int) -> None:
        super().__init__(f"{why}; try again in {retry_after} s")
        self.retry_after = retry_after


class ClientLeft(ServiceError):
    """The client has closed the connection."""

    status = 499  # no standard has one; nginx's logs made this one known
    code = "client_left"


class QueueFull(ServiceError):
    """More rows wait for the model already than may wait."""

    status = 503
    code = "queue_full"
    retry_after = 1


class OutOfMemory(ServiceError):
    """The device has no memory for the fewest rows that are computed at once."""

    status = 503
    code = "out_of_memory"
    retry_after = 5


class FeedbackNotKept(ServiceError):
    """The file of labels is full or cannot be written."""

    status = 507
    code = "feedback_not_kept"


class JobNotKept(ServiceError):
    """The folder of jobs cannot be written."""

    status = 507
    code = "job_not_kept"


class UnknownJob(ServiceError):
    """No job is kept under that id."""

    status = 404
    code = "unknown_job"


class JobNotDone(ServiceError):
    """A result is asked for that is not there, yet or ever."""

    status = 409
    code = "job_not_done"


class OutOfTime(ServiceError):
    """The budget ended before there was anything to give."""

    status = 504
    code = "out_of_time"

    @classmethod
    def after(cls, budget: float) -> "OutOfTime":
        """The error for a `budget` of so many seconds without a result."""
        return cls(f"no result within {budget * 1000:.0f} ms; raise budget_ms or ask for a cheaper method")


class PackageBusy(OutOfTime):
    """Another request used the packages of engine=reference until the deadline."""

    status = 503
    code = "not_ready"
    retry_after = 2

    @classmethod
    def after(cls, budget: float) -> "PackageBusy":
        return cls(
            f"engine=reference answers one request at a time and was busy for {budget * 1000:.0f} ms; try again, or "
            "use engine=inkling"
        )


class Stopping(OutOfTime):
    """The server ends before there was anything to give."""

    status = 503
    code = "stopping"
    retry_after = 5
