"""The page: plants a flower for every visit and draws the garden it gets from the API."""

import json
import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import Request, urlopen

API = os.environ["API"]
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="2;url=/garden"><title>hello</title>
<style>
  body {{ margin: 0; font: 1.2rem system-ui, sans-serif; text-align: center; color: #223;
         background: linear-gradient(#bfe3ff, #f4fbff 60%, #8cc36c 60%, #4f8f3a) fixed; }}
  h1 {{ margin: 1em 0 0; font-weight: 300; font-size: 3rem }} svg {{ width: 100%; height: 60vh }}
</style>
<h1>Hello, visitor {count}!</h1>
<p>{text}</p>
<svg viewBox="0 0 1000 400" preserveAspectRatio="xMidYMax meet">{flowers}</svg>
<p>drawn by container {container}</p>
</html>
"""
FLOWER = """<g transform="translate({x} {y}) scale({scale})">
<path d="M0 0 Q {bend} -60 0 -120" stroke="#3c7a2a" stroke-width="6" fill="none"/>{petals}
<circle cy="-120" r="14" fill="#ffd94d"/></g>"""


def ask(path, method="GET"):
    with urlopen(Request(API + path, method=method), timeout=5) as answer:
        return json.load(answer)


def describe(flowers):
    blooming = sum(flower["size"] == 10 for flower in flowers)
    grow = "1 flower grows" if len(flowers) == 1 else f"{len(flowers)} flowers grow"
    return f"{grow} in the garden, {blooming} in bloom."


def draw(flower):
    number = flower["number"]
    hue = number * 137 % 360
    petals = "".join(
        f'<ellipse cy="-148" rx="13" ry="26" fill="hsl({hue} 75% 62%)" transform="rotate({angle} 0 -120)"/>'
        for angle in range(0, 360, 45)
    )
    return FLOWER.format(
        x=40 + number * 167 % 920,
        y=330 + number * 53 % 60,
        scale=flower["size"] / 10,
        bend=number * 29 % 60 - 30,
        petals=petals,
    )


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/":
            flowers = ask("/plant", "POST")
        elif self.path == "/garden":
            flowers = ask("/flowers")
        else:
            self.send_error(404)
            return
        html = "text/html" in self.headers.get("Accept", "")
        text = f"Hello, visitor {len(flowers)}! {describe(flowers)}\n"
        if html:
            text = PAGE.format(
                count=len(flowers),
                text=describe(flowers),
                flowers="".join(
                    draw(flower) for flower in sorted(flowers, key=lambda f: f["number"] * 53 % 60)
                ),
                container=socket.gethostname(),
            )
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", f"text/{'html' if html else 'plain'}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form, *args):
        print(f"{self.client_address[0]} {form % args}", flush=True)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("the garden is on http://localhost:8080", flush=True)
ThreadingHTTPServer(("", 8080), Page).serve_forever()
