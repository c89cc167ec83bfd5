"""How often one key, or one address, may ask. Imported only where a limit is set: limits takes 0.05 s to load."""

from collections.abc import Callable

from flask import Flask, Response, g, request
from werkzeug.middleware.proxy_fix import ProxyFix

from server.errors import TooManyRequests
from server.routes.middleware.rate_limiter import LimitStatus, RateLimiter
from server.routes.middleware.scopes import UNLIMITED, need


def limit(app: Flask, rates: RateLimiter, proxies: int) -> None:
    """Answer 429 beyond `rates`. An address is what the last of `proxies` says it is."""
    if proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=0)  # type: ignore[method-assign]
    app.before_request(_check(rates))
    app.after_request(_tell)


def _check(rates: RateLimiter) -> Callable[[], None]:
    def check() -> None:
        endpoint = request.endpoint
        if request.method == "OPTIONS" or endpoint in UNLIMITED or need(endpoint) == "open":
            return
        who = _who()
        g.left = rates.take(who)
        last: LimitStatus = g.left[-1]
        if last.left < 0:
            told = f"more than {last.amount} per {last.name} from {who}; ask again in {last.seconds} s"
            raise TooManyRequests(told, last.seconds)

    return check


def _who() -> str:
    """Whose requests are counted together."""
    key = g.get("key")
    return f"address {request.remote_addr}" if key is None else f"key {key.name}"


def _tell(response: Response) -> Response:
    """What is left, in the fields of draft-ietf-httpapi-ratelimit-headers."""
    limits: list[LimitStatus] = g.get("left", [])
    if limits:
        left = [f'"{one.name}";r={max(0, one.left)};t={one.seconds}' for one in limits]
        policies = [f'"{one.name}";q={one.amount};w={one.window}' for one in limits]
        response.headers.add("RateLimit", ", ".join(left))
        response.headers.add("RateLimit-Policy", ", ".join(policies))
    return response
