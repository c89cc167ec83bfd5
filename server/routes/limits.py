"""How often one key, or one address, may ask. Imported only where a limit is set: Flask-Limiter takes 0.1 s to load."""

import logging
import time
from collections.abc import Callable

from flask import Flask, Response, g, request
from flask_limiter import Limiter, RequestLimit
from flask_limiter.errors import RateLimitExceeded
from limits.errors import ConfigurationError
from werkzeug.middleware.proxy_fix import ProxyFix

from server.config import SettingsError
from server.errors import TooManyRequests
from server.routes.errors import answer_error
from server.routes.scopes import UNLIMITED, need

log = logging.getLogger(__name__)


def limit(app: Flask, rate: str, storage: str, proxies: int) -> None:
    """Answer 429 beyond `rate`, such as 60/minute, counted in `storage`; where that is away, each process counts alone.
    An address is what the last of `proxies` says it is.

    Raises:
        SettingsError: a storage that can not be used.
    """
    if proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=0)  # type: ignore[method-assign]
    try:
        limiter = Limiter(_who, application_limits=[rate], storage_uri=storage, in_memory_fallback_enabled=True)
        limiter.init_app(app)
    except ConfigurationError:  # its text has the whole address, password included
        given = f"INKLING_RATE_LIMIT_STORAGE={storage.partition(':')[0]}://..."
        raise SettingsError(f"{given} can not be used; expected redis://HOST:PORT or memory://") from None
    limiter.logger.setLevel(logging.WARNING)  # it logs every refusal: a line for each is what a flood wants
    limiter.request_filter(_unlimited)
    app.register_error_handler(RateLimitExceeded, _refused(limiter))
    app.after_request(_told(limiter))


def _who() -> str:
    """Whose requests are counted together."""
    key = g.get("key")
    return f"address {request.remote_addr}" if key is None else f"key {key.name}"


def _unlimited() -> bool:
    return request.method == "OPTIONS" or request.endpoint in UNLIMITED or need(request.endpoint) == "open"


def _refused(limiter: Limiter) -> Callable[[Exception], Response]:
    def answer(_: Exception) -> Response:
        limits = [one for one in limiter.current_limits if one.breached]
        seconds = max(map(_seconds_left, limits), default=1)
        told = " and ".join(f"{one.limit.amount} per {one.limit.GRANULARITY.name}" for one in limits)
        return answer_error(TooManyRequests(f"more than {told} from {_who()}; ask again in {seconds} s", seconds))

    return answer


def _told(limiter: Limiter) -> Callable[[Response], Response]:
    """What is left, in the fields of draft-ietf-httpapi-ratelimit-headers."""

    def tell(response: Response) -> Response:
        limits = limiter.current_limits
        if limits:
            try:
                left = [f'"{_name(one)}";r={one.remaining};t={_seconds_left(one)}' for one in limits]
            except Exception as error:  # whatever the storage's client raises, the answer is there
                log.warning("what is left of a rate limit can not be told (%s)", type(error).__name__)
                return response
            policies = [f'"{_name(one)}";q={one.limit.amount};w={one.limit.get_expiry()}' for one in limits]
            response.headers["RateLimit"] = ", ".join(left)
            response.headers["RateLimit-Policy"] = ", ".join(policies)
        return response

    return tell


def _name(one: RequestLimit) -> str:
    return one.limit.GRANULARITY.name


def _seconds_left(one: RequestLimit) -> int:
    return max(1, int(one.reset_at - time.time()))
