"""The garden: keeps the flowers in /data, which is a named volume."""

import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

FILE = Path("/data/garden.json")
FULL_GROWN = 10


def load():
    return json.loads(FILE.read_text()) if FILE.exists() else []


def save(flowers):
    new = FILE.with_suffix(".new")
    new.write_text(json.dumps(flowers))
    new.replace(FILE)


class Garden(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"/health": "ok", "/flowers": load()}.get(self.path))

    def do_POST(self):
        flowers = load()
        if self.path == "/plant":
            flowers.append({"number": len(flowers) + 1, "size": 1})
        elif self.path == "/grow":
            for flower in flowers:
                flower["size"] = min(FULL_GROWN, flower["size"] + 1)
        else:
            self.answer(None)
            return
        save(flowers)
        self.answer(flowers)

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(404 if value is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        """Health checks and the worker would fill the log."""


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print(f"the garden is open, {len(load())} flowers from earlier visits", flush=True)
HTTPServer(("", 8000), Garden).serve_forever()
