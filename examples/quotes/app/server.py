"""Serve a quote: plain text for curl, a page for browsers. /busy, /calm, /curious ask for a mood."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from moods import quote  # pyright: ignore[reportMissingImports] - installed in the image, see install.py
from pages import page  # pyright: ignore[reportMissingImports]

PORT = 8082


def answer(path: str, accept: str) -> str:
    """Return what is sent for a path."""
    if path == "/health":
        return "ok\n"
    greeting = os.environ.get("GREETING", "Hello")
    text = quote(path.strip("/"))
    return page(greeting, text) if "text/html" in accept else f"{greeting}! {text}\n"


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    def do_GET(self) -> None:
        """Send a quote."""
        accept = self.headers.get("Accept", "")
        body = answer(self.path, accept).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if "text/html" in accept else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("", PORT), Handler).serve_forever()
