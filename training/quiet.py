"""Keeps what C++ code says of this machine off the terminal: what TensorFlow and LiteRT found there is no answer."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def muted() -> Iterator[None]:
    """What is written to standard error meanwhile, by whatever code, is shown only where the block fails: there it may
    be the reason."""
    with tempfile.TemporaryFile() as said:
        terminal = os.dup(2)
        sys.stderr.flush()
        os.dup2(said.fileno(), 2)
        try:
            yield
        except BaseException:
            said.seek(0)
            os.write(terminal, said.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)


def import_tensorflow() -> None:
    """Load TensorFlow, and let it look for devices."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with muted():
        import tensorflow as tf

        tf.config.list_physical_devices()
