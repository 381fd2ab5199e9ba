"""A double of Kubernetes' API server that real kubectl talks to: discovery, server-side apply, lists, deletions.

It keeps what clusters insist on: fields that exist (kubernetes-validate), templates of Jobs that never change, and a
resource version that moves when something does. It runs no controllers: workloads are ready at once, and Jobs end as
the test says.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import threading
import urllib.parse
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Key = tuple[str, str, str]  # plural, namespace, name
GROUPS: dict[str, list[tuple[str, str, str]]] = {
    "": [
        ("configmaps", "ConfigMap", "cm"),
        ("secrets", "Secret", ""),
        ("persistentvolumeclaims", "PersistentVolumeClaim", "pvc"),
        ("services", "Service", "svc"),
        ("pods", "Pod", "po"),
        ("namespaces", "Namespace", "ns"),
    ],
    "apps": [
        ("deployments", "Deployment", "deploy"),
        ("daemonsets", "DaemonSet", "ds"),
        ("statefulsets", "StatefulSet", "sts"),
    ],
    "batch": [("jobs", "Job", "")],
    "networking.k8s.io": [("networkpolicies", "NetworkPolicy", "netpol"), ("ingresses", "Ingress", "ing")],
}
_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
_RESOURCE = re.compile(
    r"/(?:api|apis/(?P<group>[\w.-]+))/v1(?:/namespaces/(?P<namespace>[\w-]+))?/(?P<plural>\w+)"
    r"(?:/(?P<name>[\w.-]+))?(?P<log>/log)?"
)


@dataclass
class KubeApi:
    """What the cluster has. `job_ends` is the condition that a new Job gets at once, "" for none."""

    objects: dict[Key, dict[str, Any]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    job_ends: str = "Complete"
    version: int = 1
    refuse: Callable[[dict[str, Any]], str] = lambda _item: ""

    def names(self) -> list[str]:
        """Return KIND/NAME of all objects."""
        return sorted(f"{item['kind']}/{item['metadata']['name']}" for item in self.objects.values())

    def named(self, kind: str, name: str = "") -> dict[str, Any]:
        """Return the only object of a kind, or that of a name."""
        (found,) = [
            item
            for item in self.objects.values()
            if item["kind"] == kind and name in ("", item["metadata"]["name"])
        ]
        return found

    def put(self, item: dict[str, Any], namespace: str = "default") -> None:
        """Have an object that nobody applied."""
        plural = next(row[0] for rows in GROUPS.values() for row in rows if row[1] == item["kind"])
        item["metadata"] = {"namespace": namespace, "uid": str(uuid.uuid4()), **item["metadata"]}
        self.objects[plural, namespace, item["metadata"]["name"]] = item

    def apply(self, key: Key, given: dict[str, Any], *, dry_run: bool) -> tuple[int, dict[str, Any]]:
        """Return status and answer of a server-side apply of a whole object."""
        kind, old = given["kind"], self.objects.get(key)
        if problem := self.refuse(given):
            return 422, _status(422, "Invalid", f"{kind} {key[2]}: {problem}")
        if old and kind == "Job" and old["spec"]["template"] != given["spec"]["template"]:
            return 422, _status(
                422, "Invalid", f'Job.batch "{key[2]}" is invalid: spec.template: field is immutable'
            )
        same = old is not None and _said(old) == _said(given)
        if not same and not dry_run:
            self.version += 1
        generation = old["metadata"]["generation"] + (not same) if old else 1
        metadata = {
            "namespace": key[1],
            "uid": old["metadata"]["uid"] if old else str(uuid.uuid4()),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "resourceVersion": old["metadata"]["resourceVersion"] if old and same else str(self.version),
            "generation": generation,
        }
        item = {**given, "metadata": {**given["metadata"], **metadata}, **self._state(given, generation)}
        if old and "status" in old and kind == "Job":
            item["status"] = old["status"]
        if not dry_run:
            self.objects[key] = item
        return (200 if old else 201), item

    def _state(self, item: dict[str, Any], generation: int) -> dict[str, Any]:
        if item["kind"] == "Job":
            conditions = [{"type": self.job_ends, "status": "True"}] if self.job_ends else []
            return {"status": {"conditions": conditions, "succeeded": int(self.job_ends == "Complete")}}
        if item["kind"] in ("Deployment", "StatefulSet"):
            counted = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "currentReplicas")
            count = item["spec"].get("replicas", 1)
            return {"status": {"observedGeneration": generation, **dict.fromkeys(counted, count)}}
        if item["kind"] == "DaemonSet":
            counted = ("desiredNumberScheduled", "updatedNumberScheduled", "numberReady", "numberAvailable")
            return {"status": {"observedGeneration": generation, **dict.fromkeys(counted, 1)}}
        return {}


def _said(item: dict[str, Any]) -> dict[str, Any]:
    """Return what an applier says of an object."""
    own = {key: value for key, value in item.items() if key not in ("metadata", "status")}
    said = {key: item["metadata"].get(key) for key in ("labels", "annotations")}
    return {**own, "metadata": said}


def _status(code: int, reason: str, message: str) -> dict[str, Any]:
    said = {"status": "Failure", "reason": reason, "message": message, "code": code}
    return {"kind": "Status", "apiVersion": "v1", **said}


@contextlib.contextmanager
def serving(api: KubeApi, folder: Path) -> Iterator[Path]:
    """Serve the cluster on a free port of loopback; the kubeconfig that leads there is written into `folder`."""

    class Handler(_Handler):
        cluster = api

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [
                {"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("test", "other")
            ],
        }
        path = folder / "kubeconfig"
        path.write_text(json.dumps(config), encoding="utf-8")
        yield path
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster: KubeApi

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer discovery, one object, a list, or a log."""
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        path = url.path.rstrip("/")
        found = _discovery(path)
        if found is not None:
            self._reply(200, found)
            return
        match = self._match(path)
        if match is None:
            return
        plural, namespace, name = match["plural"], match["namespace"] or "", match["name"]
        if match["log"]:
            self._reply(200, self.cluster.logs.get(name, ""))
        elif name:
            item = self.cluster.objects.get((plural, namespace, name))
            missing = _status(404, "NotFound", f'{plural} "{name}" not found')
            self._reply(200 if item else 404, item or missing)
        elif query.get("watch") in ("true", "1"):
            self._silence()
        else:
            self._reply(200, self._list(match["group"] or "", plural, namespace, query))

    def do_PATCH(self) -> None:
        """Apply."""
        self._change()

    def do_POST(self) -> None:
        """Create."""
        self._change()

    def do_DELETE(self) -> None:
        """Delete one object."""
        self._read()
        url = urllib.parse.urlsplit(self.path)
        match = self._match(url.path)
        if match is None:
            return
        key = (match["plural"], match["namespace"] or "", match["name"])
        if key not in self.cluster.objects:
            self._reply(404, _status(404, "NotFound", f"{key[0]} {key[2]} not found"))
            return
        if "dryRun=All" not in url.query and b'"dryRun":["All"]' not in self.body:
            del self.cluster.objects[key]
        self._reply(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _change(self) -> None:
        self._read()
        url = urllib.parse.urlsplit(self.path)
        match = self._match(url.path)
        if match is None:
            return
        item = yaml.safe_load(self.body)
        name = match["name"] or item["metadata"]["name"]
        key = (match["plural"], match["namespace"] or "", name)
        self._reply(*self.cluster.apply(key, item, dry_run="dryRun=All" in url.query))

    def _match(self, path: str) -> re.Match[str] | None:
        self.cluster.requests.append(f"{self.command} {self.path}")
        match = _RESOURCE.fullmatch(path.rstrip("/"))
        if match and any(row[0] == match["plural"] for row in GROUPS.get(match["group"] or "", [])):
            return match
        self._reply(404, _status(404, "NotFound", f"the server could not find {path}"))
        return None

    def _list(self, group: str, plural: str, namespace: str, query: dict[str, str]) -> dict[str, Any]:
        labels = [text.partition("=")[::2] for text in query.get("labelSelector", "").split(",") if text]
        fields = [text.partition("=")[::2] for text in query.get("fieldSelector", "").split(",") if text]
        items = [
            item
            for key, item in sorted(self.cluster.objects.items())
            if key[0] == plural
            and namespace in ("", key[1])
            and all(item["metadata"].get("labels", {}).get(name) == value for name, value in labels)
            and all(key[2] == value for name, value in fields if name == "metadata.name")
        ]
        kind = next(row[1] for row in GROUPS[group] if row[0] == plural)
        return {
            "kind": f"{kind}List",
            "apiVersion": f"{group}/v1".lstrip("/"),
            "metadata": {"resourceVersion": str(self.cluster.version)},
            "items": items,
        }

    def _read(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _reply(self, code: int, answer: dict[str, Any] | str) -> None:
        raw = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _silence(self) -> None:
        """Answer a watch that has nothing to tell: the client asks again, or is satisfied with its list."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        threading.Event().wait(0.2)
        self.wfile.write(b"0\r\n\r\n")


def _discovery(path: str) -> dict[str, Any] | None:
    if path == "/version":
        return {"major": "1", "minor": "32", "gitVersion": "v1.32.0"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        groups = [
            {
                "name": name,
                "versions": [{"groupVersion": f"{name}/v1", "version": "v1"}],
                "preferredVersion": {"groupVersion": f"{name}/v1", "version": "v1"},
            }
            for name in GROUPS
            if name
        ]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    if path == "/openapi/v3":
        roots = [f"apis/{name}/v1" if name else "api/v1" for name in GROUPS]
        return {"paths": {root: {"serverRelativeURL": f"/openapi/v3/{root}"} for root in roots}}
    if path.startswith("/openapi/v3/"):
        return _schema(path.removeprefix("/openapi/v3"))
    match = re.fullmatch(r"/api/v1|/apis/([\w.-]+)/v1", path)
    if match is None or (match[1] or "") not in GROUPS:
        return None
    group = match[1] or ""
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/v1".lstrip("/"),
        "resources": [
            {
                "name": plural,
                "singularName": kind.lower(),
                "namespaced": kind != "Namespace",
                "kind": kind,
                "verbs": _VERBS,
                **({"shortNames": [short]} if short else {}),
            }
            for plural, kind, short in GROUPS[group]
        ],
    }


def _schema(root: str) -> dict[str, Any]:
    """Return what tells kubectl that the server validates fields itself."""
    group = root.removeprefix("/apis/").removesuffix("/v1") if root.startswith("/apis/") else ""
    paths = {
        f"{root}/namespaces/{{namespace}}/{plural}/{{name}}": {
            "patch": {
                "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}],
                "responses": {},
                "x-kubernetes-group-version-kind": {"group": group, "version": "v1", "kind": kind},
            }
        }
        for plural, kind, _short in GROUPS[group]
    }
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.32.0"}, "paths": paths}


def main(folder: Path) -> None:
    """Serve an empty cluster, whose kubeconfig is in `folder`, until the end of standard input."""
    with serving(KubeApi(), folder):
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
