"""Clients that keep their connections, and which worker has each of them."""

import time
from collections import defaultdict
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from tests.faults.processes import workers
from tests.support.clock import PATIENCE
from tests.support.processes.servers import Running

AT_ONCE = 16  # connections that are opened together, so that no single worker takes them all


def opened(server: Running) -> HTTPConnection:
    address = urlsplit(server.url)
    return HTTPConnection(str(address.hostname), address.port, timeout=30)


def predict(connection: HTTPConnection, picture: bytes) -> int:
    """The status of a prediction; the connection is kept."""
    connection.request("POST", "/v1/predict", picture)
    with connection.getresponse() as response:
        response.read()
        return response.status


def holder(server: Running, connection: HTTPConnection) -> int:
    """The worker that answers on it: the process that has the other end, as the kernel tells."""
    local_port, remote_port = connection.sock.getsockname()[1], connection.sock.getpeername()[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, *rest = line.split()
        if int(local.rpartition(":")[2], 16) == remote_port and int(remote.rpartition(":")[2], 16) == local_port:
            inode = rest[6]
            found = [one for one in workers(server) if f"socket:[{inode}]" in _files(one)]
            assert len(found) == 1, f"{found} have it"
            return found[0]
    raise AssertionError(f"no process has the other end of port {local_port}")


def _files(process: int) -> set[str]:
    found = set()
    with suppress(OSError):  # it ends just now
        for path in Path(f"/proc/{process}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                found.add(str(path.readlink()))
    return found


def spread(server: Running, picture: bytes, each: int) -> dict[int, list[HTTPConnection]]:
    """So many connections with each of all workers, every one of which has answered on them."""
    both, held = workers(server), defaultdict[int, list[HTTPConnection]](list)
    deadline = time.monotonic() + PATIENCE
    while not all(len(held[one]) >= each for one in both):
        assert time.monotonic() < deadline, {one: len(held[one]) for one in both}
        fresh = [opened(server) for _ in range(AT_ONCE)]
        for connection in fresh:
            connection.request("POST", "/v1/predict", picture)
        for connection in fresh:
            with connection.getresponse() as response:
                assert response.status == 200 and response.read()
            kept = held[holder(server, connection)]
            if len(kept) < each:
                kept.append(connection)
            else:
                connection.close()
    return dict(held)


def all_answer(server: Running, picture: bytes) -> set[int]:
    """The workers, when every one of them has answered."""
    held = spread(server, picture, 1)
    for connections in held.values():
        connections[0].close()
    return set(held)
