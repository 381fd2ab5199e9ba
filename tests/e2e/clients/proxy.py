"""What traefik's Docker provider does (pkg/provider/docker), against a socket: version, list, inspect each, listen.

Prints its table of routes as JSON whenever that has changed: host name → addresses of the service's healthy containers.
"""

from __future__ import annotations

import json
import re
import socket
import sys
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote

PATH = sys.argv[1]
RULE = re.compile(r"Host\(`(.+?)`\)")


def opened(target: str) -> Any:
    """Return the answer to a GET, of which nothing has been read yet."""
    connection = HTTPConnection("docker")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(PATH)
    connection.request("GET", f"/v1.24{target}")
    answer = connection.getresponse()
    assert answer.status == 200, f"{target}: {answer.status}"
    return answer


def routes() -> dict[str, list[str]]:
    """Return the table."""
    found: dict[str, list[str]] = {}
    for row in json.load(opened("/containers/json?all=1")):
        container = json.load(opened(f"/containers/{row['Id']}/json"))
        state, labels = container["State"], container["Config"]["Labels"] or {}
        if not state["Running"] or state.get("Health", {}).get("Status", "healthy") != "healthy":
            continue
        for key, value in labels.items():
            if key.startswith("traefik.http.routers.") and key.endswith(".rule"):
                host = RULE.fullmatch(value)
                assert host is not None
                (network,) = container["NetworkSettings"]["Networks"].values()
                port = labels["traefik.http.services.web.loadbalancer.server.port"]
                found.setdefault(host[1], []).append(f"{network['IPAddress']}:{port}")
    return {host: sorted(addresses) for host, addresses in sorted(found.items())}


opened("/version").read()
events = opened(f"/events?filters={quote(json.dumps({'type': {'container': True}}))}")
table: dict[str, list[str]] | None = None
while True:
    now = routes()
    if now != table:
        table = now
        print(json.dumps(table), flush=True)
    while True:
        event = json.loads(events.readline())
        if event["Action"].partition(":")[0] in ("start", "die", "health_status"):
            break
