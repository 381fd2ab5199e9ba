"""Requests of Docker's clients in an order in which they mean something, for any engine that answers them.

They are those that docker's command line, Compose, the SDKs, testcontainers, devcontainers and lazydocker were seen to
make, one of each kind, with the fields that they set. `python -m tests.support.api_record` asks the real Engine; what
it answers is in api_record.json, as status and shape: the keys of an answer and the types of their values.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import socket
import tarfile
import time
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPResponse
    from pathlib import Path

Shape = Any
_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}\Z")
IMAGE, OTHER = "tapebox:1", "tapebox:2"
ONLY = {"tape.only": "1"}
_MULTIPLEXED = ("application/vnd.docker.raw-stream", "application/vnd.docker.multiplexed-stream")


def shape(value: object) -> Shape:
    """Return keys and types of a value; what a list has in it is one shape, with the keys of all."""
    if isinstance(value, dict):
        return {("ID" if _ID.match(key) else key): shape(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return [merged([shape(item) for item in value])] if value else []
    return "null" if value is None else type(value).__name__


def merged(shapes: list[Shape]) -> Shape:
    """Return one shape for several; the first says what type a value is, and null is nothing to say."""
    found = shapes[0]
    for other in shapes[1:]:
        if isinstance(found, dict) and isinstance(other, dict):
            keys = sorted({*found, *other})
            found = {key: merged([one[key] for one in (found, other) if key in one]) for key in keys}
        elif found in ("null", []):
            found = other
    return found


@contextlib.contextmanager
def opened(
    path: str, method: str, target: str, body: object = None, data: bytes | None = None
) -> Iterator[HTTPResponse]:
    """Yield the answer to a request with a JSON body, or with a tar, as long as the block."""
    connection = HTTPConnection("docker")
    connection.sock = socket.socket(socket.AF_UNIX)
    with contextlib.closing(connection):
        connection.sock.settimeout(60)
        connection.sock.connect(path)
        headers = {"Content-Type": "application/json" if data is None else "application/x-tar"}
        headers["X-Registry-Auth"] = "e30="  # {}: without it nothing is pushed
        sent = data if data is not None else json.dumps(body).encode() if body is not None else b""
        connection.request(method, target, sent, headers)
        yield connection.getresponse()


class Tape:
    """Plays the requests to the engine behind a socket; `answers` has what came back, by request."""

    def __init__(self, path: str, tar: Path) -> None:
        self._path = path
        self._tar = tar
        self.answers: dict[str, dict[str, Any]] = {}

    def ask(
        self, method: str, target: str, body: object = None, *, name: str = "", data: bytes | None = None
    ) -> Any:
        """Ask, note the answer under `name` (default: the request itself), return its JSON, else its bytes."""
        with opened(self._path, method, "/v1.45" + target, body, data) as answer:
            text = answer.read()
            kind = (answer.headers.get("Content-Type") or "").partition(";")[0]
        found = _documents(text) if kind == "application/json" else None
        if target.startswith("/events") and isinstance(found, dict):
            found = [found]
        self.answers[name or f"{method} {target}"] = {
            "status": answer.status,
            "type": "stream" if kind in _MULTIPLEXED else kind,
            "shape": "" if found is None else shape(found),
        }
        return text if found is None else found

    # ------------------------------------------------------------------ the requests

    def play(self) -> None:
        """Ask for everything; nothing is left."""
        for name in ("tape1", "tape2", "tape3"):
            self.ask("DELETE", f"/containers/{name}?force=1", name="clean up")
        for path in (
            "/networks/tapenet",
            "/volumes/tapevol",
            *(f"/images/{n}?force=1" for n in (IMAGE, OTHER)),
        ):
            self.ask("DELETE", path, name="clean up")
        began = time.time()
        self._machine()
        self._images()
        self._networks_and_volumes()
        self._created()
        self._running()
        self._exec()
        self._files()
        self._changes()
        self._made_of_it()
        self._events(began)
        self._ends()
        del self.answers["clean up"]

    def _machine(self) -> None:
        for path in ("/_ping", "/version", "/info", "/plugins", "/services", "/nodes", "/nonsense"):
            self.ask("GET", path)
        self.ask("HEAD", "/_ping")
        self.ask("POST", "/auth", {"username": "u", "password": "p", "serveraddress": "127.0.0.1:1"})

    def _images(self) -> None:
        changes = "&".join(f"changes={quote(text)}" for text in ("CMD sleep 1000", "ENV A=1", "LABEL b=c"))
        self.ask(
            "POST", f"/images/create?fromSrc=-&repo=tapebox&tag=1&message=&{changes}",
            name="POST /images/create?fromSrc=-", data=self._tar.read_bytes(),
        )  # fmt: skip
        wanted = quote(json.dumps({"reference": {"tapebox": True}}))
        self.ask("GET", f"/images/json?filters={wanted}", name="GET /images/json")
        self.ask("GET", f"/images/{IMAGE}/json")
        self.ask("GET", "/images/nosuch/json")
        self.ask("GET", f"/images/{IMAGE}/history")
        self.ask("POST", f"/images/{IMAGE}/tag?repo=tapebox&tag=2&force=0")
        self.ask("POST", "/images/create?fromImage=127.0.0.1:1/x&tag=1")

    def _networks_and_volumes(self) -> None:
        body = {
            "Name": "tapenet",
            "CheckDuplicate": True,
            "Driver": "bridge",
            "IPAM": {"Driver": "default"},
            "Labels": ONLY,
        }
        self.ask("POST", "/networks/create", body)
        self.ask("POST", "/networks/create", body, name="POST /networks/create again")
        self.ask("GET", "/networks/tapenet")
        self.ask("GET", "/networks/nosuch")
        wanted = quote(json.dumps({"name": ["tapenet"], "type": ["custom"]}))
        self.ask("GET", f"/networks?filters={wanted}", name="GET /networks")
        self.ask("POST", "/volumes/create", {"Name": "tapevol", "Driver": "local", "Labels": ONLY})
        self.ask("GET", "/volumes/tapevol")
        self.ask("GET", "/volumes/nosuch")
        wanted = quote(json.dumps({"name": {"tapevol": True}}))
        self.ask("GET", f"/volumes?filters={wanted}", name="GET /volumes")

    def _created(self) -> None:
        body = {
            "Image": IMAGE, "Cmd": ["sh", "-c", "echo out; echo err >&2; exec sleep 1000"], "Env": ["B=2"],
            "Labels": {**ONLY, "com.docker.compose.project": "tape"}, "Tty": False, "OpenStdin": True,
            "StdinOnce": False, "AttachStdin": False, "AttachStdout": True, "AttachStderr": True,
            "StopSignal": "SIGKILL", "ExposedPorts": {"80/tcp": {}},
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": 500_000_000, "Timeout": 10**9, "Retries": 3},
            "HostConfig": {
                "AutoRemove": False, "Binds": ["tapevol:/v"], "Mounts": [{"Type": "tmpfs", "Target": "/t"}],
                "Memory": 64 << 20, "NetworkMode": "tapenet", "PortBindings": {"80/tcp": [{"HostPort": ""}]},
                "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "ConsoleSize": [24, 80],
            },
            "NetworkingConfig": {"EndpointsConfig": {"tapenet": {"Aliases": ["uno"]}}},
        }  # fmt: skip
        self.ask("POST", "/containers/create?name=tape1", body)
        self.ask("POST", "/containers/create?name=tape1", body, name="POST /containers/create again")
        self.ask("POST", "/containers/create", {"Image": "nosuch"}, name="POST /containers/create nosuch")
        self.ask("GET", "/containers/tape1/json", name="GET /containers/created/json")
        self.ask("GET", "/containers/nosuch/json")
        self.ask("POST", "/containers/tape1/kill", name="POST /containers/created/kill")
        self.ask(
            "PUT", "/containers/tape1/archive?path=/&noOverwriteDirNonDir=", data=_packed({"early": b"e"})
        )
        self.ask("POST", "/containers/tape1/start")
        self.ask("POST", "/containers/tape1/start", name="POST /containers/running/start")

    def _running(self) -> None:
        self._healthy()
        self.ask("GET", "/containers/tape1/json")
        self.ask("GET", "/containers/tape1/json?size=1")
        wanted = quote(json.dumps({"label": {"tape.only=1": True}}))
        self.ask("GET", f"/containers/json?filters={wanted}", name="GET /containers/json")
        every = f"/containers/json?all=1&size=1&limit=-1&trunc_cmd=0&filters={wanted}"
        self.ask("GET", every, name="GET /containers/json?all=1&size=1")
        self.ask("GET", "/networks/tapenet", name="GET /networks/used")
        self.ask("GET", "/containers/tape1/logs?stdout=1&stderr=1&tail=all")
        self.ask("GET", "/containers/tape1/logs", name="GET /containers/tape1/logs of none")
        self.ask("GET", "/containers/tape1/top")
        self.ask("GET", "/containers/tape1/stats?stream=0")
        self.ask("DELETE", "/containers/tape1", name="DELETE /containers/running")
        self.ask("DELETE", "/networks/tapenet", name="DELETE /networks/used")
        self.ask("DELETE", "/volumes/tapevol", name="DELETE /volumes/used")

    def _healthy(self) -> None:
        state: dict[str, Any] = {}
        for _ in range(300):
            state = self.ask("GET", "/containers/tape1/json")["State"]
            if state.get("Health", {}).get("Status") == "healthy":
                return
            time.sleep(0.1)
        raise AssertionError(f"tape1 didn't become healthy: {state}")

    def _exec(self) -> None:
        body = {
            "AttachStdout": True,
            "AttachStderr": True,
            "Cmd": ["sh", "-c", "echo x; exit 3"],
            "User": "root",
            "Env": ["C=3"],
            "WorkingDir": "/tmp",
            "Tty": False,
        }
        found = self.ask("POST", "/containers/tape1/exec", body)["Id"]
        self.ask("GET", f"/exec/{found}/json", name="GET /exec/new/json")
        self.ask("POST", f"/exec/{found}/start", {"Detach": False, "Tty": False}, name="POST /exec/start")
        self.ask("GET", f"/exec/{found}/json", name="GET /exec/json")
        self.ask("POST", f"/exec/{found}/start", {"Detach": False}, name="POST /exec/start again")
        found = self.ask(
            "POST", "/containers/tape1/exec", {"Cmd": ["true"]}, name="POST /containers/tape1/exec for nobody"
        )["Id"]
        self.ask("POST", f"/exec/{found}/start", {"Detach": True}, name="POST /exec/start detached")
        self.ask("GET", "/exec/nosuch/json")
        self.ask("POST", "/containers/tape1/exec", {"Cmd": []}, name="POST /containers/tape1/exec of nothing")

    def _files(self) -> None:
        self.ask("PUT", "/containers/tape1/archive?path=/tmp", data=_packed({"f": b"x"}))
        self.ask("HEAD", "/containers/tape1/archive?path=/tmp/f")
        self.ask("GET", "/containers/tape1/archive?path=/tmp/f")
        self.ask("HEAD", "/containers/tape1/archive?path=/nosuch")
        self.ask("GET", "/containers/tape1/archive?path=/nosuch")
        self.ask("PUT", "/containers/tape1/archive?path=/nosuch", data=_packed({"f": b"x"}))
        self.ask("GET", "/containers/tape1/changes")
        self.ask("GET", "/containers/tape1/export")

    def _changes(self) -> None:
        self.ask("POST", "/networks/tapenet/disconnect", {"Container": "tape1"})
        self.ask(
            "POST",
            "/networks/tapenet/connect",
            {"Container": "tape1", "EndpointConfig": {"Aliases": ["dos"]}},
        )
        self.ask("POST", "/containers/tape1/rename?name=tape2")
        self.ask("POST", "/containers/tape2/rename?name=tape1")
        self.ask("POST", "/containers/tape1/update", {"Memory": 32 << 20, "MemorySwap": 64 << 20})
        self.ask("POST", "/containers/tape1/pause")
        self.ask("GET", "/containers/tape1/json", name="GET /containers/paused/json")
        self.ask("POST", "/containers/tape1/unpause")
        self.ask("POST", "/containers/tape1/restart?t=0", {})
        self.ask("POST", "/containers/tape1/kill?signal=NOSUCH")
        self.ask("POST", "/containers/tape1/kill?signal=KILL")
        self.ask("POST", "/containers/tape1/wait")
        self.ask("POST", "/containers/tape1/wait?condition=nonsense")
        self.ask("GET", "/containers/tape1/json", name="GET /containers/exited/json")
        self.ask("POST", "/containers/tape1/stop?t=0")
        self.ask("POST", "/containers/tape1/pause", name="POST /containers/exited/pause")
        self.ask("POST", "/containers/tape1/exec", {"Cmd": ["true"]}, name="POST /containers/exited/exec")
        self.ask("GET", "/containers/tape1/top", name="GET /containers/exited/top")

    def _made_of_it(self) -> None:
        self.ask("POST", "/commit?container=tape1&repo=tapebox&tag=2&author=&comment=&pause=True", {})
        self.ask("GET", f"/images/{OTHER}/json", name="GET /images/committed/json")
        packed = self.ask("GET", f"/images/get?names={OTHER}")
        self.ask("POST", "/images/load?quiet=1", data=packed)
        self.ask("POST", "/images/127.0.0.1:1/nosuch/push?tag=latest")
        file = f"FROM {IMAGE}\nLABEL tape.only=1\nRUN echo built >/built\n".encode()
        flags = "rm=1&q=False&nocache=False&forcerm=False&pull=False&labels={}&buildargs={}"
        target = f"/build?t={quote(OTHER)}&{flags}"
        self.ask("POST", target, name="POST /build", data=_packed({"Dockerfile": file}))
        self.ask(
            "POST",
            target,
            name="POST /build that fails",
            data=_packed({"Dockerfile": f"FROM {IMAGE}\nRUN exit 3\n".encode()}),
        )
        self.ask("POST", target, name="POST /build of nonsense", data=_packed({"Dockerfile": b"NONSENSE\n"}))
        self.ask("GET", "/system/df")
        found = self.answers["GET /system/df"]["shape"]  # others may use the engine, too: not their labels
        for row in (*found["Containers"], *found["Images"], *found["Volumes"], *found["BuildCache"]):
            for key in ("Labels", "NetworkSettings", "Ports"):
                row.pop(key, None)

    def _events(self, began: float) -> None:
        for kind in ("container", "network", "volume", "image"):
            wanted = {"type": [kind]} | ({"container": ["tape1"]} if kind == "container" else {})
            since = f"since={began:.6f}&until={time.time():.6f}&filters={quote(json.dumps(wanted))}"
            self.ask("GET", f"/events?{since}", name=f"GET /events of {kind}s")

    def _ends(self) -> None:
        only = quote(json.dumps({"label": {"tape.only=1": True}}))
        self.ask("POST", f"/containers/prune?filters={only}", name="POST /containers/prune")
        self.ask("POST", f"/networks/prune?filters={only}", name="POST /networks/prune")
        every = quote(json.dumps({"label": {"tape.only=1": True}, "all": {"true": True}}))
        self.ask("POST", f"/volumes/prune?filters={every}", name="POST /volumes/prune")
        self.ask("POST", f"/containers/prune?filters={only}", name="POST /containers/prune of nothing")
        none = quote(json.dumps({"dangling": {"true": True}, "label": {"tape.only=2": True}}))
        self.ask("POST", f"/images/prune?filters={none}", name="POST /images/prune of nothing")
        self.ask("DELETE", "/containers/tape1?v=1&link=0&force=1", name="DELETE /containers/nosuch")
        self.ask("DELETE", "/networks/tapenet", name="DELETE /networks/nosuch")
        self.ask("DELETE", "/volumes/tapevol", name="DELETE /volumes/nosuch")
        self.ask("DELETE", f"/images/{OTHER}?force=False&noprune=False")
        nameless = quote(json.dumps({"dangling": {"true": True}, "label": {"tape.only=1": True}}))
        self.ask("POST", f"/images/prune?filters={nameless}", name="POST /images/prune")
        self.ask("DELETE", f"/images/{IMAGE}?force=1")
        self.ask("DELETE", f"/images/{IMAGE}", name="DELETE /images/nosuch")


def _documents(text: bytes) -> Any:
    """Return an answer's JSON; lines of it make a list."""
    documents = []
    decoder = json.JSONDecoder()
    rest = text.decode().strip()
    while rest:
        found, end = decoder.raw_decode(rest)
        documents.append(found)
        rest = rest[end:].strip()
    return documents[0] if len(documents) == 1 else documents


def _packed(files: dict[str, bytes]) -> bytes:
    """Return a tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()
