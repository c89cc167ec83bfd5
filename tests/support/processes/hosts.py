"""Hosts of a network: namespaces of Linux with a bridge between them (iproute2, as root). Their addresses are of
198.18.0.0/15, which RFC 2544 keeps for tests; nothing of it can be reached from outside, or reaches out.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.needs import lacking

CLONE_NEWNET = 0x40000000
NETWORK = "198.18.47"


@dataclass(frozen=True)
class Host:
    """One of them. `within` is what a command is called by to run there."""

    name: str
    address: str
    bridge: str

    @property
    def within(self) -> list[str]:
        return ["ip", "netns", "exec", self.name]

    @contextmanager
    def here(self) -> Iterator[None]:
        """Whatever this thread does, it does on this host; and so do threads that it starts."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _enter(Path("/run/netns") / self.name)
            yield
        finally:
            _setns(before)
            os.close(before)

    def cut(self) -> None:
        """Take its link away: what it sends, or is sent, is lost."""
        _ip("-n", self.bridge, "link", "set", self.name, "down")

    def join(self) -> None:
        """Give it the link back."""
        _ip("-n", self.bridge, "link", "set", self.name, "up")


@contextmanager
def network(names: Sequence[str]) -> Iterator[list[Host]]:
    """Hosts of these names in a network of their own. Skips where that cannot be had, and fails where CI is set."""
    if os.geteuid() != 0:
        lacking("network namespaces need root")
    mark = f"ink{os.getpid() % 10_000}"
    bridge, hosts = f"{mark}net", []
    try:
        try:
            _ip("netns", "add", bridge)
        except (OSError, subprocess.CalledProcessError) as error:
            lacking(f"there are no network namespaces here ({error}); iproute2 and root make them")
        _ip("-n", bridge, "link", "add", "bridge", "type", "bridge")
        _ip("-n", bridge, "link", "set", "bridge", "up")
        for number, name in enumerate(names, 1):
            host = Host(f"{mark}{name}", f"{NETWORK}.{number}", bridge)
            _ip("netns", "add", host.name)
            hosts.append(host)
            _ip("-n", host.name, "link", "add", "eth0", "type", "veth", "peer", "name", host.name, "netns", bridge)
            _ip("-n", bridge, "link", "set", host.name, "master", "bridge", "up")
            _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", host.name, "link", "set", device, "up")
        yield hosts
    finally:
        for one in [*(host.name for host in hosts), bridge]:
            subprocess.run(["ip", "netns", "delete", one], capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _enter(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        _setns(handle)
    finally:
        os.close(handle)


def _setns(handle: int) -> None:
    """os.setns is there from Python 3.12 on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(handle, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
