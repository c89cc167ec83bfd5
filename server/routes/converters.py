"""What may stand at a place in a path, for all dialects alike (URL converters)."""

from werkzeug.routing import BaseConverter


class Name(BaseConverter):
    """A model's name in a path: no colon, because `name:verb` is another address."""

    regex = "[^/:]+"
