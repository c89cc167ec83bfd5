"""Every mistake that a caller can make or meet: one short class each, with its HTTP status and stable code.

A message says what was got, what was expected and how to fix it. Anything that is not a ServiceError is a bug of ours:
it is answered as a 500 without its text. This file must not know HTTP beyond the numbers.
"""


class ServiceError(Exception):
    """Base of all: `status` and `code` go to the caller beside the message."""

    status = 500
    code = "internal_error"
    retry_after: int | None = None  # seconds


class BadRequest(ServiceError):
    """The request can not be read: broken JSON, unknown option, value out of range."""

    status = 400
    code = "bad_request"


class PictureError(ServiceError):
    """Base of what can be wrong with one picture, whatever else is in the request."""


class UnknownOption(BadRequest):
    """A name in the query that nobody here knows."""

    code = "unknown_option"


class InvalidOption(BadRequest):
    """A known option with a value that it can not take."""

    code = "invalid_option"


class AlreadyAnswered(InvalidOption, PictureError):
    """An attack towards the class that is answered to this picture anyway."""


class InvalidPixels(PictureError):
    """Pixels sent as numbers in a shape or range that no model takes."""

    status = 400
    code = "invalid_pixels"


class EmptyBody(PictureError):
    """No picture in the request."""

    status = 400
    code = "empty_body"


class DamagedImage(PictureError):
    """Recognised as a picture, but it can not be decoded to its end."""

    status = 400
    code = "damaged_image"


class UnknownModel(ServiceError):
    """No model, version or label of that name."""

    status = 404
    code = "unknown_model"


class UnknownMethod(ServiceError):
    """No explanation method of that name."""

    status = 404
    code = "unknown_method"


class NotAcceptable(ServiceError):
    """No format that was asked for can be given."""

    status = 406
    code = "not_acceptable"


class BodyTooLarge(ServiceError):
    """More bytes than are read."""

    status = 413
    code = "body_too_large"


class ImageTooLarge(PictureError):
    """More pixels than are decoded."""

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


class MethodNotPossible(ServiceError):
    """The model can not do what the method needs."""

    status = 422
    code = "method_not_possible"


class TooManySegments(MethodNotPossible, PictureError):
    """This picture has more cells than the method can enumerate."""


class NotReady(ServiceError):
    """Will be possible shortly."""

    status = 503
    code = "not_ready"

    def __init__(self, message: str, retry_after: int = 2) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class OutOfTime(ServiceError):
    """The budget ended before there was anything to give."""

    status = 504
    code = "out_of_time"
