"""A page that knows when it has changed: GET /changed is answered at the next save."""

from __future__ import annotations

import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGE = Path(__file__).parent / "page"


def stamps() -> dict[Path, int]:
    """Return the time stamp of each file of the page."""
    return {path: path.stat().st_mtime_ns for path in PAGE.rglob("*") if path.is_file()}


class Handler(SimpleHTTPRequestHandler):
    """The files of the page, and one address more."""

    def do_GET(self) -> None:
        """Answer a request."""
        if self.path != "/changed":
            super().do_GET()
            return
        before = stamps()
        while stamps() == before:
            time.sleep(0.02)
        self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8080), lambda *args: Handler(*args, directory=str(PAGE))).serve_forever()
