"""What ends a bulk run before it is whole, in sentences for people."""


class BulkError(Exception):
    """Base of all of them: says what was got, what was expected and how to go on."""


class SourceError(BulkError):
    """There are no pictures to be read."""


class RunError(BulkError):
    """The folder of results cannot be used, or the run cannot go on."""


class DiskFull(RunError):
    """Results cannot be written, which may be mended."""
