"""Rate limits: how often one key, or one address, may ask. Imported only where a limit is set: limits takes 0.05 s to
load."""

from collections.abc import Callable

from flask import Flask, Response, g, request

from server.errors import TooManyRequests
from server.routes.caller import caller
from server.routes.middleware.rate_limiter import LimitStatus, RateLimiter
from server.routes.middleware.scopes import UNLIMITED, need


def limit(app: Flask, rates: RateLimiter, proxies: int) -> None:
    """Answer 429 beyond `rates`. The client's address is the one that the last of `proxies` reports."""
    app.before_request(_check(rates, proxies))
    app.after_request(_add_headers)


def _check(rates: RateLimiter, proxies: int) -> Callable[[], None]:
    def check() -> None:
        if not _is_counted():
            return
        who = caller(proxies)
        g.left = rates.take(who)
        last: LimitStatus = g.left[-1]
        if last.remaining < 0:
            message = f"more than {last.amount} per {last.name} from {who}; ask again in {last.seconds} s"
            raise TooManyRequests(message, last.seconds)

    return check


def _is_counted() -> bool:
    """Also what will be refused, for its key, its path or its method."""
    endpoint = request.endpoint
    if endpoint is None:
        return True
    if request.method == "OPTIONS" or need(endpoint) == "open":
        return False
    return endpoint not in UNLIMITED or ("key" in g and g.key is None)


def _add_headers(response: Response) -> Response:
    """Add the remaining requests, in the fields of draft-ietf-httpapi-ratelimit-headers."""
    limits: list[LimitStatus] = g.get("left", [])
    if limits:
        left = [f'"{one.name}";r={max(0, one.remaining)};t={one.seconds}' for one in limits]
        policies = [f'"{one.name}";q={one.amount};w={one.window}' for one in limits]
        response.headers.add("RateLimit", ", ".join(left))
        response.headers.add("RateLimit-Policy", ", ".join(policies))
    return response
