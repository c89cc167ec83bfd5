"""Which names of this server are answered: others are those of DNS rebinding and of poisoned caches.

Probes are answered under any name: they come by the address of a container.
"""

import re
from collections.abc import Callable

from flask import Request

from server.errors import BadRequest, Misdirected
from server.routes.middleware.scopes import PROBES

LABEL = r"[a-z0-9_-]{1,63}"
HOST = re.compile(rf"({LABEL}(?:\.{LABEL})*|\[[a-f0-9:.]{{2,45}}\])\.?(?::[0-9]{{0,5}})?", re.ASCII | re.IGNORECASE)
"""RFC 9110, 7.2: the first group is the name or address, without the port."""


def host_check(hosts: str | None) -> Callable[[Request], None]:
    """What raises an error for a request under what is no host name, or under a name that is not among `hosts`, if
    there are any. With a dot or `*.` before it a name stands for itself and all below it."""
    listed = [] if hosts is None else hosts.lower().split(",")
    names = frozenset(name for name in listed if name[0] not in ".*")
    domains = tuple(name.removeprefix("*") for name in listed if name[0] in ".*")

    def check(request: Request) -> None:
        host = request.environ.get("HTTP_HOST", "")
        match = HOST.fullmatch(host)
        if (match is not None and hosts is None) or request.endpoint in PROBES:
            return
        if match is None:
            got = f"the header Host is {host[:100]!a}, which names no host" if host else "the header Host is missing"
            raise BadRequest(f"{got}; expected the name that this server was asked by, such as `Host: localhost:8000`")
        name = match[1].lower()
        if name not in names and not f".{name}".endswith(domains):
            raise Misdirected(
                f"this server does not answer to the name {name[:100]}; ask it by a name that INKLING_HOSTS lists, or "
                "add this one there"
            )

    return check
