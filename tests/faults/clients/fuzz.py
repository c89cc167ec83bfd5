"""Fuzzing guided by coverage, as a program: `python -m tests.faults.clients.fuzz FOLDER -max_total_time=20`.

FOLDER has pictures to begin with. Ends with an error when anything but a ServiceError comes out.
"""

import sys
from contextlib import suppress

import atheris

with atheris.instrument_imports(include=["server"]):
    from server import images
    from server.errors import ServiceError
    from server.types import ImageSpec

SPEC = ImageSpec(28, 28)


def read(body: bytes) -> None:
    """The picture of a request, normalised and not."""
    for preprocess in ("auto", "none"):
        with suppress(ServiceError):
            images.decode(body, SPEC, preprocess)  # type: ignore[arg-type]


if __name__ == "__main__":
    atheris.Setup(sys.argv, read)
    atheris.Fuzz()
