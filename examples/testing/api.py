"""GET /health, GET /visits, POST /visits/NAME; in nothing but the standard library and the databases' own clients."""

import os
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DB, CACHE = os.environ["DB"], os.environ["CACHE"]


def sql(text: str) -> str:
    argv = ["psql", "-h", DB, "-U", "postgres", "-qAtc", text, "postgres"]
    environment = {**os.environ, "PGCONNECT_TIMEOUT": "2"}
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=3, check=True, env=environment
    ).stdout.strip()


def cache(*args: str) -> str:
    argv = ["redis-cli", "-h", CACHE, *args]
    return subprocess.run(argv, capture_output=True, text=True, timeout=3, check=True).stdout.strip()


class Handler(BaseHTTPRequestHandler):
    def answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer(200, "ok")
            return
        try:
            count = sql("SELECT count(*) FROM visits")
            cache("set", "count", count)
            self.answer(200, count)
        except (subprocess.SubprocessError, OSError):
            known = cache("get", "count")  # the database is away: what was true a moment ago
            self.answer(203 if known else 503, known)

    def do_POST(self) -> None:
        name = self.path.rpartition("/")[2]
        if not name.isalnum():
            self.answer(400, "letters and digits only")
            return
        sql(f"INSERT INTO visits VALUES ('{name}')")
        self.answer(201, name)


ThreadingHTTPServer(("", 8000), Handler).serve_forever()
