"""A machine on which the Engine API is served."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.engines import api_get
from tests.support.scenario import eventually

if TYPE_CHECKING:
    from tests.support.scenario import Host, Result
    from tests.support.terminal import Running


class Served:
    """The API is at `path`, and `server` is the process that serves it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.path = host.folder / "docker.sock"
        self.server: Running = host.spawn("system", "serve", "--socket", self.path)
        eventually(self.path.exists)

    @property
    def url(self) -> str:
        """What DOCKER_HOST is set to."""
        return f"unix://{self.path}"

    def pid(self) -> int:
        """Return the server's process."""
        return self.server.process.pid

    def descriptors(self) -> int:
        """Return how many the server has open."""
        return len(os.listdir(f"/proc/{self.pid()}/fd"))

    def resident_kib(self) -> int:
        """Return the memory that is the server's own (proc_pid_status(5): RssAnon)."""
        status = Path(f"/proc/{self.pid()}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:"))

    def get(self, path: str) -> Any:
        """Return what a GET answers."""
        return api_get(str(self.path), path)

    def connect(self, timeout_s: float = 40.0) -> socket.socket:
        """Return a connection."""
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout_s)
        try:
            sock.connect(str(self.path))
        except OSError:
            sock.close()
            raise
        return sock

    def raw(self, data: bytes, timeout_s: float = 40.0) -> bytes:
        """Send bytes, and return all that comes until the server hangs up."""
        with self.connect(timeout_s) as sock:
            with contextlib.suppress(BrokenPipeError):  # it doesn't want the rest
                sock.sendall(data)
            answer = b""
            while part := sock.recv(65536):
                answer += part
            return answer

    def client(self, *argv: str | Path, cwd: Path | None = None, timeout_s: float = 100.0) -> Result:
        """Run a program that finds the API by its environment."""
        environment = {
            "DOCKER_HOST": self.url,
            "DOCKER_CONFIG": str(self.host.folder / "none"),
            "DOCKER_BUILDKIT": "0",
            "TESTCONTAINERS_RYUK_DISABLED": "true",
        }
        return self.host.command(argv, cwd=cwd, env=environment, timeout_s=timeout_s)

    def close(self) -> None:
        """End it: without an error, and without its socket."""
        self.server.process.terminate()
        assert self.server.process.wait(20) == 0
        assert not self.path.exists()
