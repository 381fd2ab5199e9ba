"""An SSH server of a test's own (dropbear), on a socket that was made on a private machine."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.requires import SEARCH

_LOGIN_ROOT = 'mount --bind "$1" /root && exec dropbear -i -m -s -r "$2"'


@dataclass(frozen=True, kw_only=True)
class SshServer:
    """Whom `key` (a file) opens the account of root, who finds the machine's files."""

    address: str
    port: int
    key: Path
    # A line of known_hosts.
    known: str


def make_key(path: Path) -> str:
    """Make a private key without a passphrase at `path`; return the public one."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return path.with_suffix(".pub").read_text(encoding="ascii")


@contextmanager
def ssh_server(server: socket.socket, folder: Path) -> Iterator[SshServer]:
    """Answer on `server` for the time of the block; `folder` gets the keys."""
    address, port = server.getsockname()
    home = folder / "home/.ssh"
    home.mkdir(parents=True, mode=0o700)
    (home / "authorized_keys").write_text(make_key(folder / "key"), encoding="ascii")
    (home / "authorized_keys").chmod(0o600)
    made = subprocess.run(
        ["dropbearkey", "-t", "ed25519", "-f", folder / "host"],
        env={"PATH": SEARCH}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (public,) = [line for line in made.stdout.splitlines() if line.startswith("ssh-ed25519")]
    known = f"[{address}]:{port} {' '.join(public.split()[:2])}\n"
    argv = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        _LOGIN_ROOT,
        "sh",
        home.parent,
        folder / "host",
    ]
    thread = threading.Thread(target=_serve, args=(server, argv), daemon=True)
    thread.start()
    try:
        yield SshServer(address=address, port=port, key=folder / "key", known=known)
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def _serve(server: socket.socket, argv: Sequence[str | Path]) -> None:
    running: list[subprocess.Popen[bytes]] = []
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            break
        with connection:
            both = connection.fileno()
            running.append(subprocess.Popen(argv, stdin=both, stdout=both, env={"PATH": SEARCH}))
    for process in running:
        process.wait()
