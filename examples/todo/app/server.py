"""A to-do list over HTTP; the entries are in Redis, spoken to in its own protocol."""

import html
import json
import signal
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>todo</title>
<style>
  body {{ font: 1.1rem system-ui, sans-serif; max-width: 32em; margin: 3em auto; color: #223 }}
  ul {{ list-style: none; padding: 0 }} li span {{ flex: 1 }}
  li {{ display: flex; gap: .6em; padding: .5em 0; border-bottom: 1px solid #dde }}
  .done span {{ text-decoration: line-through; color: #99a }}
  form {{ display: contents }} input {{ flex: 1; font: inherit; padding: .4em }} button {{ font: inherit }}
</style>
<h1>To do</h1>
<div style="display: flex; gap: .6em"><form method="post" action="/todos">
<input name="title" placeholder="what next?" autofocus required><button>add</button></form></div>
<ul>{entries}</ul>
</html>
"""
ENTRY = """<li class="{state}"><span>{title}</span>
<form method="post" action="/todos/{number}/{verb}"><button>{verb}</button></form>
<form method="post" action="/todos/{number}/delete"><button>delete</button></form></li>"""


PATIENCE_S = 10


def redis(*words) -> Any:
    """Return what Redis answers. One that restarts is waited for: what is asked may be asked twice."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask(words)
        except OSError:  # no name, no connection, or no answer
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def ask(words) -> Any:
    """Send one command; return the answer (RESP 2: simple, error, integer, bulk, array)."""
    with (
        socket.create_connection(("redis", 6379), timeout=5) as connection,
        connection.makefile("rb") as answer,
    ):
        parts = [word.encode() for word in words]
        connection.sendall(
            b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
        )
        return read(answer)


def read(answer) -> Any:
    line = answer.readline().rstrip(b"\r\n")
    kind, rest = line[:1], line[1:]
    if not line or line.startswith(b"-LOADING"):
        raise ConnectionError("Redis ends, or begins")
    if kind == b"-":
        raise RuntimeError(rest.decode())
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return answer.read(int(rest) + 2)[:-2].decode() if int(rest) >= 0 else None
    if kind == b"*":
        return [read(answer) for _ in range(int(rest))]
    return rest.decode()


def entries():
    words = redis("HGETALL", "todos")
    found = {int(number): json.loads(text) for number, text in zip(words[::2], words[1::2], strict=True)}
    return [{"id": number, **found[number]} for number in sorted(found)]


class Todo(BaseHTTPRequestHandler):
    def do_GET(self):
        self.attempt(self.get)

    def do_POST(self):
        self.attempt(self.post)

    def attempt(self, work):
        try:
            work()
        except OSError as exc:
            self.answer(503, json.dumps({"error": f"no entries now: {exc}"}) + "\n")

    def get(self):
        if self.path == "/":
            rows = [
                ENTRY.format(
                    state="done" if entry["done"] else "open",
                    title=html.escape(entry["title"]),
                    number=entry["id"],
                    verb="reopen" if entry["done"] else "done",
                )
                for entry in entries()
            ]
            self.answer(200, PAGE.format(entries="".join(rows)), "text/html")
        elif self.path == "/todos":
            self.answer(200, json.dumps(entries()) + "\n")
        else:
            self.answer(404, '{"error": "no such page"}\n')

    def post(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        match self.path.strip("/").split("/"):
            case ["todos"]:
                title = parse_qs(body).get("title", [""])[0].strip()
                if not title:
                    self.answer(400, '{"error": "give a title"}\n')
                    return
                number = str(redis("INCR", "last"))
                redis("HSET", "todos", number, json.dumps({"title": title, "done": False}))
            case ["todos", number, "delete"]:
                redis("HDEL", "todos", number)
            case ["todos", number, "done" | "reopen" as verb] if text := redis("HGET", "todos", number):
                redis("HSET", "todos", number, json.dumps({**json.loads(text), "done": verb == "done"}))
            case _:
                self.answer(404, '{"error": "no such entry"}\n')
                return
        if "text/html" in self.headers.get("Accept", ""):
            self.send_response(303)
            self.send_header("Location", "/")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.answer(200, json.dumps(entries()) + "\n")

    def answer(self, code, text, kind="application/json"):
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):  # noqa: A002 - its name
        print(f"{self.client_address[0]} {format % args}", flush=True)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print(f"{redis('PING')}: {len(entries())} entries, http://localhost:8081", flush=True)
ThreadingHTTPServer(("", 8081), Todo).serve_forever()
