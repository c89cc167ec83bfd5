"""Who sent a request: the holder of its key, or its address, behind so many proxies."""

from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address

from flask import g, request

CALLERS = 10_000  # the most recent addresses, that are remembered
PREFIX = 64  # bits of an IPv6 address that one caller is given; the others are for it to choose
LONGEST = 64  # characters of an address with its zone and port


def caller(proxies: int) -> str:
    """Whose requests go together: those with a valid key, or from an address. The address is the one that the last of
    the `proxies` reports."""
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
