"""Authentication and authorisation: an API key in a header, or a signed link, checked before a body is read.

Registered only where keys are on, so that it costs nothing where they are off.
"""

from collections.abc import Callable

from flask import Flask, Response, g, request

from server.auth.keys import ApiKey, Keyring, Scope
from server.auth.signed_links import QUERY, Links
from server.errors import Forbidden, ServiceError, Unauthorized
from server.routes.middleware.scopes import LINKED, Need, need
from server.routes.parameters import SEND_THE_KEY, reject_keys

REALM = 'Bearer realm="inkling"'


def authenticate(app: Flask, keys: Keyring) -> None:
    """Put the key that a request has, None unless it is valid, where what is registered later finds it: `g.key`."""

    def find_key() -> None:
        secret = _secret()
        g.key = None if secret is None else keys.holder(secret)

    app.before_request(find_key)


def authorise(app: Flask, links: Links) -> None:
    """Refuse requests without a sufficient key, except on open routes. After `authenticate`."""
    app.before_request(_check(links))
    app.after_request(_challenge)


def _check(links: Links) -> Callable[[], None]:
    def check() -> None:
        needed = need(request.endpoint)
        if needed == "open" or request.method == "OPTIONS":
            return
        reject_keys(request.args, "query")
        if g.key is not None:
            _check_scope(g.key, needed)
        elif _secret() is not None:
            g.challenge = f'{REALM}, error="invalid_token"'
            raise Unauthorized("nobody here knows this key; check that it is whole, or ask for a new one")
        elif not _has_signed_link(links):
            g.challenge = REALM
            raise Unauthorized(f"this server answers to those who have a key; {SEND_THE_KEY}")

    return check


def _secret() -> str | None:
    """The key that came with the request."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else request.headers.get("X-API-Key")


def _check_scope(key: ApiKey, needed: Need) -> None:
    if needed not in ("any", *key.scopes):
        g.challenge = f'{REALM}, error="insufficient_scope", scope="{needed}"'
        raise Forbidden(
            f"the key of {key.name} is good for {', '.join(sorted(key.scopes))}; {request.path[:200]} needs {needed}"
        )


def require(scope: Scope) -> None:
    """Refuse the current request where keys are on and its key lacks a scope that one of its options needs.

    Raises:
        Forbidden: it does.
    """
    if (key := g.get("key")) is not None:
        _check_scope(key, scope)


def _has_signed_link(links: Links) -> bool:
    """Whether this request has a valid signature of a link. Then `g.links` signs those in its answer.

    Raises:
        ServiceError: it has a signature, but an expired or a forged one.
    """
    if request.method not in ("GET", "HEAD") or not request.path.startswith(LINKED):
        return False
    signature = request.args.get(QUERY)
    if signature is None:
        return False
    verdict = links.check(request.path, signature)
    if verdict != "good":
        raise _refused(verdict)
    g.links = links.ending_with(request.path, signature)
    return True


def _refused(verdict: str) -> ServiceError:
    g.challenge = REALM
    if verdict == "expired":
        return Unauthorized(f"this link has expired; ask for the explanation again, or {SEND_THE_KEY}")
    return Unauthorized(f"this link was not signed here, or was changed; take it as it was given, or {SEND_THE_KEY}")


def _challenge(response: Response) -> Response:
    """Add WWW-Authenticate to a refusal."""
    if "challenge" in g:
        response.headers["WWW-Authenticate"] = g.challenge
    return response
