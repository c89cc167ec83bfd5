"""A device that is out of memory, as TensorFlow tells it."""

from tests.models.test_micro_batches import (  # noqa: F401  (run here as well, so that they are in the table)
    test_a_savedmodel_goes_on_with_fewer_rows as test_out_of_memory_halves_the_chunk_and_goes_on,
)
