"""A web server and a git daemon of a test's own, on sockets that were made on a private machine."""

from __future__ import annotations

import email.utils
import hashlib
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Web:
    """What is served: path → bytes. `asked` are the requests so far, (path, status)."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    # Seconds since the epoch, by path; without one there is no Last-Modified.
    modified_s: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    without_etags: set[str] = field(default_factory=set)
    # Paths that are never answered, as long as the server runs.
    silent: set[str] = field(default_factory=set)
    ended: threading.Event = field(default_factory=threading.Event)


def listening() -> socket.socket:
    """Return a socket that listens on loopback, in the network of the calling thread."""
    return socket.create_server(("127.0.0.1", 0))


@contextmanager
def web_server(server: socket.socket) -> Iterator[Web]:
    """Serve on `server` for the time of the block, with ETags."""
    host, port = server.getsockname()
    web = Web(url=f"http://{host}:{port}")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            web.authorizations.append(self.headers.get("Authorization", ""))
            if path in web.silent:
                web.asked.append((path, 0))
                web.ended.wait()
                return
            data = web.files.get(path)
            etag = f'"{hashlib.sha256(data or b"").hexdigest()[:12]}"'
            stamp = web.modified_s.get(path)
            modified = email.utils.formatdate(stamp, usegmt=True) if stamp is not None else ""
            known = self.headers.get("If-None-Match") == etag
            if path in web.without_etags:
                known = bool(modified) and self.headers.get("If-Modified-Since") == modified
            status = 404 if data is None else 304 if known else 200
            web.asked.append((path, status))
            self.send_response(status)
            if path not in web.without_etags:
                self.send_header("ETag", etag)
            if modified:
                self.send_header("Last-Modified", modified)
            body = data if status == 200 and data is not None else b""
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    serving = ThreadingHTTPServer((host, port), Handler, bind_and_activate=False)
    serving.socket.close()
    serving.socket = server
    serving.daemon_threads = True
    thread = threading.Thread(target=serving.serve_forever, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        web.ended.set()
        serving.shutdown()
        thread.join()
        serving.server_close()


@contextmanager
def git_daemon(server: socket.socket, folder: Path) -> Iterator[str]:
    """Serve the repositories in `folder` for the time of the block; yield the URL of the folder."""
    host, port = server.getsockname()
    command = ["git", "daemon", "--inetd", "--export-all", f"--base-path={folder}", str(folder)]

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                subprocess.run(
                    command,
                    stdin=connection.fileno(),
                    stdout=connection.fileno(),
                    check=False,
                    env=GIT_ENVIRONMENT,
                )

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"git://{host}:{port}"
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(10)


GIT_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*", "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t",
    "GIT_COMMITTER_EMAIL": "t@t", "GIT_AUTHOR_DATE": "1000000000 +0000", "GIT_COMMITTER_DATE": "1000000000 +0000",
}  # fmt: skip


def repository(folder: Path, files: dict[str, str], branch: str = "main") -> Callable[[dict[str, str]], str]:
    """Make a repository with one commit; return what commits more files and returns the commit."""
    folder.mkdir(parents=True)

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", folder, *arguments], env=GIT_ENVIRONMENT, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(changed: dict[str, str]) -> str:
        for name, text in changed.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        git("add", "-A")
        git("commit", "-q", "-m", "more")
        return git("rev-parse", "HEAD")

    git("init", "-q", "-b", branch)
    commit(files)
    return commit
