"""Where everything lies. Every path that pycompose writes is made here.

```
ROOT (/var/lib/pycompose, 0700, survives a reboot)      RUN (/run/pycompose, 0700, tmpfs, gone with a reboot)
  images/…                        engine/images/store.py   projects/P/{lock,control.sock,keeper.sock,supervisor.json}
  volumes/NAME/{_data,meta.json}                           volumes/NAME/ID (who uses what is mounted there)
                                                           containers/ID/{state,exit,health,runtime}.json,
                                                             stdout, stderr
                                                             config.json (for hooks of devices)
  projects/P/{project.json,supervisor.log}                 netns/ID, files/ID/N (secrets and configs)
                                                           layers/ID (engine/container/uppers.py)
  projects/P/containers/ID        (a claim, made first)    networks/NAME.json   (subnet, bridge, leases)
  containers/ID/{config.json,service.json,last,rw/,log/,
                hosts,hostname,resolv.conf}
  names/NAME                      (a link of the claim)
  base/                           engine/container/layers.py
  docker-init                     engine/init/program.py
  pycompose-relay                 networking/ports/relayprogram.py
  seccomp/DIGEST                  engine/seccomp/filters.py
  networks/NAME.json              (made by hand: they come back after a reboot)
  subnets.json                    (which subnet each network had last)
  snapshots/VOLUME/TAG            (made by hand)
```
All directories are made by engine/statedirs.py: whatever the umask, nobody but their owner gets in.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_ROOT = Path("/var/lib/pycompose")
# Where programs look for a Docker daemon.
DOCKER_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock")
DEFAULT_RUN = Path("/run/pycompose")
DEFAULT_CGROUP_PARENT = "pycompose"
# Makes limits that an ordinary user can't set an error, by "1"; else each service gets a warning.
STRICT_LIMITS = "PYCOMPOSE_STRICT_LIMITS"
# What builds are called as projects: nobody else's business, and no project's name begins with a line.
BUILDS = "_build-"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePaths:
    """The two state roots and the name of our cgroup; tests give their own."""

    root: Path = DEFAULT_ROOT
    run: Path = DEFAULT_RUN
    cgroup_parent: str = DEFAULT_CGROUP_PARENT

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> StatePaths:
        """Return the paths that PYCOMPOSE_ROOT, PYCOMPOSE_RUN and PYCOMPOSE_CGROUP ask for."""
        env = os.environ if environment is None else environment
        return cls(
            root=Path(env.get("PYCOMPOSE_ROOT") or DEFAULT_ROOT),
            run=Path(env.get("PYCOMPOSE_RUN") or DEFAULT_RUN),
            cgroup_parent=env.get("PYCOMPOSE_CGROUP") or DEFAULT_CGROUP_PARENT,
        )

    def to_environment(self) -> dict[str, str]:
        """Return the variables with which a child process finds the same paths."""
        return {
            "PYCOMPOSE_ROOT": str(self.root),
            "PYCOMPOSE_RUN": str(self.run),
            "PYCOMPOSE_CGROUP": self.cgroup_parent,
        }

    @property
    def images(self) -> Path:
        """The image store."""
        return self.root / "images"

    @property
    def builder(self) -> Path:
        """The build cache (engine/builder/cache.py)."""
        return self.root / "builder"

    @property
    def volumes(self) -> Path:
        """All named volumes."""
        return self.root / "volumes"

    @property
    def volumes_run(self) -> Path:
        """Who uses the volumes that are mounts (volumes/mounting.py)."""
        return self.run / "volumes"

    def volume_users(self, name: str) -> Path:
        """One file per container that uses the mount behind a volume."""
        return self.volumes_run / name

    @property
    def projects(self) -> Path:
        """What is kept of each project."""
        return self.root / "projects"

    @property
    def projects_run(self) -> Path:
        """Sockets and locks of each project."""
        return self.run / "projects"

    @property
    def containers(self) -> Path:
        """All containers of all projects."""
        return self.root / "containers"

    @property
    def layers(self) -> Path:
        """Writable layers of containers, where the root can't hold them (engine/container/uppers.py)."""
        return self.run / "layers"

    @property
    def journal(self) -> Path:
        """What happens to images, networks and volumes (engine/journal.py)."""
        return self.run / "journal"

    @property
    def names(self) -> Path:
        """One file per container name that is taken: the claim of the container ("ID NAME")."""
        return self.root / "names"

    @property
    def base(self) -> Path:
        """The lowest layer of every container."""
        return self.root / "base"

    @property
    def filters(self) -> Path:
        """Filters of system calls, made of profiles: a cache."""
        return self.root / "seccomp"

    @property
    def init(self) -> Path:
        """The first process of containers with `init: true`."""
        return self.root / "docker-init"

    @property
    def relay(self) -> Path:
        """What relays connections to published ports."""
        return self.root / "pycompose-relay"

    @property
    def networks(self) -> Path:
        """One JSON file per network that exists."""
        return self.run / "networks"

    @property
    def kept_networks(self) -> Path:
        """One JSON file per network that was made by hand."""
        return self.root / "networks"

    @property
    def subnets(self) -> Path:
        """Which subnet each network had last (networking/subnet_memory.py)."""
        return self.root / "subnets.json"

    @property
    def snapshots(self) -> Path:
        """What volumes held when somebody asked for it to be kept; it outlives them."""
        return self.root / "snapshots"

    def project(self, project: str) -> Path:
        """Return where what survives a reboot of one project lies."""
        return self.projects / project

    def project_claims(self, project: str) -> Path:
        """One file per container id of the project ("ID NAME"), made before anything of the container is."""
        return self.root.joinpath("projects", project, "containers")

    def project_run(self, project: str) -> Path:
        """Directory (0700) of the project's sockets and lock."""
        return self.projects_run / project

    def control_socket(self, project: str) -> Path:
        """Where the supervisor listens."""
        return self.project_run(project) / "control.sock"

    def keeper_socket(self, project: str) -> Path:
        """Where the keeper listens."""
        return self.project_run(project) / "keeper.sock"

    def container(self, container_id: str) -> Path:
        """Return where what survives a reboot of one container lies."""
        return self.root.joinpath("containers", container_id)

    def etc(self, container_id: str) -> Path:
        """Return where the generated hosts, hostname and resolv.conf of one container lie.

        It may write to them as much as it likes, which is the machine's memory where RUN is.
        """
        return self.container(container_id)

    def api_socket(self, container_id: str) -> Path:
        """Return the socket by which one container reaches the Engine API, if its service mounts Docker's."""
        return self.container(container_id) / "docker.sock"

    def container_run(self, container_id: str) -> Path:
        """Run-time state of one container."""
        return self.run.joinpath("containers", container_id)

    def injected(self, container_id: str) -> Path:
        """Return where the secrets and configs of one container lie (tmpfs: nothing reaches the disk)."""
        return self.run / "files" / container_id

    def netns(self, container_id: str) -> Path:
        """Where the container's network namespace is pinned."""
        return self.run / "netns" / container_id

    def network(self, name: str) -> Path:
        """State of one network."""
        return self.networks / f"{name}.json"

    def volume(self, name: str) -> Path:
        """Directory of one named volume; its data is in `_data`."""
        return self.volumes / name


def docker_config_path(environment: Mapping[str, str]) -> Path:
    """Return where Docker's client keeps its settings: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`."""
    directory = environment.get("DOCKER_CONFIG")
    if directory:
        return Path(directory) / "config.json"
    return Path(environment.get("HOME") or "/root", ".docker/config.json")
