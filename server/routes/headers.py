"""Values for the headers of every answer: the request's id, and the time that each stage took. And what a request's
header says of the trace that it belongs to."""

import os
import re
import time
from collections.abc import Mapping

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
SAMPLED, RANDOM = 0b01, 0b10  # the flags that the standard knows


def request_id(requested: str) -> str:
    """The id that the client sent, if it is valid; else a new one."""
    return requested if REQUEST_ID.fullmatch(requested) else os.urandom(16).hex()


def trace_fields(traceparent: str) -> dict[str, str]:
    """What a log line says of the trace that a header `traceparent` names, by the names that OpenTelemetry has for it;
    empty where W3C's Trace Context says that the header is invalid. Of versions after 00 it has what 00 knows of them.
    """
    found = TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return {}
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or trace_id == "0" * 32 or span_id == "0" * 16 or (version == "00" and more is not None):
        return {}
    known = int(flags, 16) & (SAMPLED | RANDOM if version == "00" else SAMPLED)
    return {"trace_id": trace_id, "span_id": span_id, "trace_flags": f"{known:02x}"}


def server_timing(seconds: Mapping[str, float], started: float) -> str:
    """The seconds of each stage, and all since `started`, as Server-Timing has them."""
    stages = {**seconds, "total": time.perf_counter() - started}
    return ", ".join([f"{name};dur={value * 1000:.2f}" for name, value in stages.items()])
