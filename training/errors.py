"""What goes wrong for reasons that users can mend; commands say it in one line, without a traceback."""


class TrainingError(Exception):
    """The message says what was got, what was expected, and what to do."""


class DataError(TrainingError, ValueError):
    """Data, a version or its labels are not what they should be."""


class ConversionError(TrainingError, RuntimeError):
    """The converted functions cannot be had, or do not answer like their SavedModel."""


class TrialError(TrainingError, RuntimeError):
    """A trial would say nothing of the methods."""
