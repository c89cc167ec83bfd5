"""URL converters: what a place in a path may contain, for all dialects alike."""

from werkzeug.routing import BaseConverter


class Name(BaseConverter):
    """A model's name in a path: no colon, because `name:verb` is another address."""

    regex = "[^/:]+"
