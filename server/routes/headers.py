"""Values for the headers of every answer: the request's id, and the time that each stage took."""

import os
import re
import time
from collections.abc import Mapping

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def request_id(requested: str) -> str:
    """The id that the client sent, if it is valid; else a new one."""
    return requested if REQUEST_ID.fullmatch(requested) else os.urandom(16).hex()


def server_timing(seconds: Mapping[str, float], started: float) -> str:
    """The seconds of each stage, and all since `started`, as Server-Timing has them."""
    stages = {**seconds, "total": time.perf_counter() - started}
    return ", ".join([f"{name};dur={value * 1000:.2f}" for name, value in stages.items()])
