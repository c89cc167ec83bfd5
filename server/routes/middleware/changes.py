"""Who may change what is served: whom INKLING_REPOSITORY names, and no page of another site (cross-site request
forgery).

A browser says where a request comes from by Sec-Fetch-Site (W3C Fetch Metadata), older ones by Origin (RFC 6454); other
clients send neither. Pages of other hosts of one site count as foreign too: other ports of localhost are such hosts.
"""

from collections.abc import Callable
from typing import Literal

from flask import Request

from server.errors import Forbidden
from server.routes.middleware.scopes import CHANGES_MODELS, OWN_PAGES

NEEDS_KEY = (
    "loading and unloading models needs a key of scope admin, and this server has no keys; make one (`python -m server "
    "key NAME --scopes admin >> FILE`) and set INKLING_KEYS_FILE=FILE, or set INKLING_REPOSITORY=open to let everybody"
)


def change_check(
    repository: Literal["keys", "open", "off"], has_keys: bool, origins: str | None
) -> Callable[[Request], None]:
    """What raises Forbidden for a request of who may not. Pages of `origins`, with commas between them, may; a * names
    nobody. Keys are not looked at: they are checked for all routes."""
    refusal = None
    if repository == "off":
        refusal = "loading and unloading models is switched off on this server (INKLING_REPOSITORY=off)"
    elif repository == "keys" and not has_keys:
        refusal = NEEDS_KEY
    trusted = frozenset((origins or "").lower().split(",")) - {"", "*"}

    def check(request: Request) -> None:
        endpoint = request.endpoint
        if endpoint not in OWN_PAGES or request.method == "OPTIONS":
            return
        if _is_foreign(request, trusted):
            raise Forbidden(
                "a page of another site may not ask for this; ask from a page of this server or from a program, or "
                "list the origin of the page in INKLING_CORS_ORIGINS"
            )
        if refusal is not None and endpoint in CHANGES_MODELS:
            raise Forbidden(refusal)

    return check


def _is_foreign(request: Request, trusted: frozenset[str]) -> bool:
    """Whether a browser sent this for a page of another origin that is not among the trusted ones."""
    headers = request.headers
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin", "").lower()
    if origin in trusted:
        return False
    if site is not None:
        return site not in ("same-origin", "none")
    return origin != "" and origin.partition("://")[2] != headers.get("Host", "").lower()
