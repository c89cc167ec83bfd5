"""An append-only log of digits whose right label somebody told: JSON lines that `python -m training fit --data` takes.

Each line is written at once under a lock of the file, so that all processes of a server may write to it, and what a
full disk cuts off is taken back. Knows neither HTTP nor models.
"""

import base64
import fcntl
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from server.errors import FeedbackNotKept
from server.types import Array

MODE = 0o600  # only the server's user may read what people drew


@dataclass(frozen=True)
class FeedbackLog:
    """The file, and how many bytes it may have."""

    path: Path
    max_bytes: int

    def add(self, pixels: Array, label: str, answered: str, model: str, version: str) -> None:
        """Keep an image (H, W) in [0, 1] with its right label, and what was answered by which version.

        Raises:
            FeedbackNotKept: the file is full or cannot be written.
        """
        levels = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
        entry = {
            "label": label,
            "pixels": base64.b64encode(levels.tobytes()).decode(),
            "shape": list(levels.shape),
            "answered": answered,
            "model": f"{model}/{version}",
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        try:
            self._append(json.dumps(entry).encode() + b"\n")
        except OSError as error:
            raise FeedbackNotKept(
                f"the label could not be kept ({error.strerror}); the server's log says more"
            ) from error

    def _append(self, line: bytes) -> None:
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, MODE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)  # ends when the file is closed
            size = os.fstat(file).st_size
            if size + len(line) > self.max_bytes:
                raise FeedbackNotKept(
                    f"the file of labels is full ({self.max_bytes} bytes); the server's operator can move it away once "
                    "it is trained with, or raise INKLING_FEEDBACK_BYTES"
                )
            try:
                if os.write(file, line) < len(line):
                    raise OSError(0, "No space left on device")
            except OSError:
                os.ftruncate(file, size)
                raise
        finally:
            os.close(file)
