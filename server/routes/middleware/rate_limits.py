"""Rate limits: how often one key, or one address, may ask. Imported only where a limit is set: limits takes 0.05 s to
load."""

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address

from flask import Flask, Response, g, request

from server.errors import TooManyRequests
from server.routes.middleware.rate_limiter import CALLERS, LimitStatus, RateLimiter
from server.routes.middleware.scopes import UNLIMITED, need

PREFIX = 64  # bits of an IPv6 address that one caller is given; the others are for it to choose
LONGEST = 64  # characters of an address with its zone and port


def limit(app: Flask, rates: RateLimiter, proxies: int) -> None:
    """Answer 429 beyond `rates`. The client's address is the one that the last of `proxies` reports."""
    app.before_request(_check(rates, proxies))
    app.after_request(_add_headers)


def _check(rates: RateLimiter, proxies: int) -> Callable[[], None]:
    def check() -> None:
        if not _is_counted():
            return
        caller = _caller(proxies)
        g.left = rates.take(caller)
        last: LimitStatus = g.left[-1]
        if last.remaining < 0:
            message = f"more than {last.amount} per {last.name} from {caller}; ask again in {last.seconds} s"
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


def _caller(proxies: int) -> str:
    """Whose requests are counted together: those with a valid key, or from an address."""
    key = g.get("key")
    if key is not None:
        return f"key {key.name}"
    # not werkzeug's ProxyFix: it takes an opening quote of the client's own for one around all that proxies add
    forwarded = request.environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
    reported = _network(forwarded[-proxies].strip()[:LONGEST]) if 0 < proxies <= len(forwarded) else None
    peer = request.remote_addr or ""
    return f"address {reported or _network(peer) or peer}"


@lru_cache(CALLERS)
def _network(text: str) -> str | None:
    """An IPv4 address, or the network of an IPv6 address, perhaps with a port; None where it is neither."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or IPv6Network((int(address) >> PREFIX << PREFIX, PREFIX)))
    return str(address)


def _add_headers(response: Response) -> Response:
    """Add the remaining requests, in the fields of draft-ietf-httpapi-ratelimit-headers."""
    limits: list[LimitStatus] = g.get("left", [])
    if limits:
        left = [f'"{one.name}";r={max(0, one.remaining)};t={one.seconds}' for one in limits]
        policies = [f'"{one.name}";q={one.amount};w={one.window}' for one in limits]
        response.headers.add("RateLimit", ", ".join(left))
        response.headers.add("RateLimit-Policy", ", ".join(policies))
    return response
