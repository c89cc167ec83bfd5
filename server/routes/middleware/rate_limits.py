"""Rate limits: how often one key, or one address, may ask. Imported only where a limit is set: limits takes 0.05 s to
load."""

from collections.abc import Callable

from flask import Flask, Response, g, request
from werkzeug.middleware.proxy_fix import ProxyFix

from server.errors import TooManyRequests
from server.routes.middleware.rate_limiter import LimitStatus, RateLimiter
from server.routes.middleware.scopes import UNLIMITED, need


def limit(app: Flask, rates: RateLimiter, proxies: int) -> None:
    """Answer 429 beyond `rates`. The client's address is the one that the last of `proxies` reports."""
    if proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=0)  # type: ignore[method-assign]
    app.before_request(_check(rates))
    app.after_request(_add_headers)


def _check(rates: RateLimiter) -> Callable[[], None]:
    def check() -> None:
        endpoint = request.endpoint
        if request.method == "OPTIONS" or endpoint in UNLIMITED or need(endpoint) == "open":
            return
        caller = _caller()
        g.left = rates.take(caller)
        last: LimitStatus = g.left[-1]
        if last.remaining < 0:
            message = f"more than {last.amount} per {last.name} from {caller}; ask again in {last.seconds} s"
            raise TooManyRequests(message, last.seconds)

    return check


def _caller() -> str:
    """Whose requests are counted together."""
    key = g.get("key")
    return f"address {request.remote_addr}" if key is None else f"key {key.name}"


def _add_headers(response: Response) -> Response:
    """Add the remaining requests, in the fields of draft-ietf-httpapi-ratelimit-headers."""
    limits: list[LimitStatus] = g.get("left", [])
    if limits:
        left = [f'"{one.name}";r={max(0, one.remaining)};t={one.seconds}' for one in limits]
        policies = [f'"{one.name}";q={one.amount};w={one.window}' for one in limits]
        response.headers.add("RateLimit", ", ".join(left))
        response.headers.add("RateLimit-Policy", ", ".join(policies))
    return response
