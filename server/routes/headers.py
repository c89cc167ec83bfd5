"""What every answer tells in its headers beside its content: the request's id, and where its time went."""

import os
import re
import time
from collections.abc import Mapping

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def request_id(asked: str) -> str:
    """The id that a request came with, where it can be one; else a new one."""
    return asked if REQUEST_ID.fullmatch(asked) else os.urandom(16).hex()


def server_timing(seconds: Mapping[str, float], started: float) -> str:
    """The seconds of each stage, and all since `started`, as Server-Timing has them."""
    stages = {**seconds, "total": time.perf_counter() - started}
    return ", ".join([f"{name};dur={value * 1000:.2f}" for name, value in stages.items()])
