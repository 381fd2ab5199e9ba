"""Makes, starts and removes containers of one project: volumes, network, engine, in that order; blocking.

Called from threads of the supervisor. Every container is claimed on disk before anything of it exists, and `remove`
takes away all of it from what the files say, however far its making had come.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING

from pycompose.engine.config import MountKind, plain
from pycompose.engine.dataclass import dataclass, field, replace
from pycompose.engine.errors import EngineError, KeeperLost, StateError, storage_error
from pycompose.engine.linux.libc import call
from pycompose.engine.logs.reader import read_logs
from pycompose.engine.state import read_state
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import write_json
from pycompose.model import Health
from pycompose.policy.health import HealthSpec, make_spec
from pycompose.policy.observed import RuntimeRecord
from pycompose.policy.ready import KEY as READY
from pycompose.policy.ready import ready_spec
from pycompose.policy.sharing import volume_sources
from pycompose.state.boot import LastStatus, note, note_change
from pycompose.state.records import ServiceRecord, read_runtime, read_service, write_runtime, write_service
from pycompose.state.snapshot import STANDALONE, read_container
from pycompose.supervisor.runtime.claims import Claims
from pycompose.supervisor.runtime.container_config import Parts, container_config
from pycompose.supervisor.runtime.linked import linked_variables
from pycompose.supervisor.runtime.mounted import MountedVolumes
from pycompose.supervisor.runtime.mounts import (
    MountBuilder,
    anonymous_by_target,
    mount_volumes,
    release_volumes,
)
from pycompose.volumes.store import VolumeStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pycompose.engine.api import Engine
    from pycompose.engine.config import ContainerConfig, Mount
    from pycompose.engine.errors import PycomposeError
    from pycompose.engine.images.spec import Image
    from pycompose.engine.paths import StatePaths
    from pycompose.engine.state import ContainerState
    from pycompose.model import Project, Service
    from pycompose.supervisor.api_sockets import ApiSockets
    from pycompose.supervisor.network.wiring import Wiring


# An outside probe costs no process in the container, so it can be asked often.
READY_TIMING = HealthSpec(args=(), interval_s=5.0, timeout_s=3.0)

SECOND_LEASE = "+"

# How many containers get their networks at the same time.
CONNECTING = 4
# What a start writes into each state directory, generously.
START_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class NewContainer:
    """A container to be made. `replaces` is the id whose name and anonymous volumes it takes over.

    With `beside` that one goes on, so the new one gets addresses of its own, and no ports until `take_over`.
    `joined` maps "service:x" and "container:x" → container id, `resolve_image` finds images that are mounted. `hook` is
    the kind of hook that it is for.
    """

    project: Project
    service: Service
    image: Image
    number: int
    name: str
    created_ns: int = field(default_factory=time.time_ns)
    replaces: str = ""
    beside: bool = False
    renew_volumes: bool = False
    joined: dict[str, str]
    resolve_image: Callable[[str], Image]
    oneoff: bool = False
    hook: str = ""
    auto_remove: bool = False
    publish: bool = True


class Runtime:
    """One project's containers. `keeper` is replaced when the keeper process had to be."""

    def __init__(
        self,
        paths: StatePaths,
        project: str,
        wiring: Wiring,
        version: str,
        api_sockets: ApiSockets | None = None,
    ) -> None:
        self.paths = paths
        self._api_sockets = api_sockets
        self.project = project
        self.claims = Claims(paths, project)
        self._wiring = wiring
        self._version = version
        self._keeper: Engine | None = None
        # The threads share one interpreter: all at once, they would all be done late, and the keeper idle until then.
        self._connecting = threading.Semaphore(CONNECTING)
        self._mounted = MountedVolumes(paths)
        # How many keepers have died on us.
        self.losses = 0

    @property
    def has_keeper(self) -> bool:
        """Whether there is one."""
        return self._keeper is not None

    @property
    def keeper(self) -> Engine:
        """The project's keeper; raises KeeperLost while there is none."""
        if self._keeper is None:
            raise KeeperLost(f"project {self.project}: the keeper is not there", hint="run the command again")
        return self._keeper

    @keeper.setter
    def keeper(self, keeper: Engine | None) -> None:
        self._keeper = keeper
        self._wiring.keeper = keeper

    def adopt_running(self, configs: Sequence[ContainerConfig]) -> None:
        """Take on containers that run since an earlier supervisor; listen again for those that have Docker's socket."""
        self._mounted.adopt(configs)
        if self._api_sockets is not None and self._keeper is not None:
            self._api_sockets.adopt(self._keeper, configs)

    def hold_api_sockets(self) -> None:
        """Give a new keeper the sockets that the old one held for them."""
        if self._api_sockets is not None and self._keeper is not None:
            self._api_sockets.hold(self._keeper)

    # ------------------------------------------------------------------ creating

    def create(self, wanted: NewContainer) -> tuple[ContainerConfig, ServiceRecord]:
        """Make a container, not started; raises VolumeError, EngineError, AlreadyExists, and leaves nothing then."""
        container_id = os.urandom(32).hex()
        self.claims.make(container_id, wanted.name, "" if wanted.beside else wanted.replaces)
        builder = self._mounts(container_id, wanted)
        try:
            directory = self.paths.container(container_id)
            make_directory(directory)
            config = self._config(container_id, wanted, builder.build())
            record = self._record(wanted, tuple(builder.anonymous))
            write_service(self.paths, container_id, record)
            write_json(directory / "config.json", plain(config), durable=False)
        except OSError as exc:
            self._undo(container_id, wanted.name, builder.made)
            what = exc.filename or self.paths.container(container_id)
            raise EngineError(f"container {wanted.name}: cannot create {what}: {exc.strerror}") from exc
        except BaseException:
            self._undo(container_id, wanted.name, builder.made)
            raise
        return config, record

    def _undo(self, container_id: str, name: str, volumes: Sequence[str]) -> None:
        """Take away what was made for a container that can't be made."""
        release_volumes(self.paths, container_id)
        for volume in volumes:
            VolumeStore(self.paths).remove(volume)
        self._discard_files(container_id, name)

    def _mounts(self, container_id: str, wanted: NewContainer) -> MountBuilder:
        keeps = wanted.replaces and not wanted.renew_volumes
        return MountBuilder(
            self.paths,
            wanted.project,
            wanted.service,
            wanted.image,
            container_id,
            self._inherited(wanted.replaces) if keeps else {},
            wanted.resolve_image,
            borrowed=tuple(self._borrowed(wanted.service, wanted.joined)),
        )

    def _config(self, container_id: str, wanted: NewContainer, mounts: tuple[Mount, ...]) -> ContainerConfig:
        files = {} if wanted.service.network_mode == "host" else {"/etc/hostname": "hostname"}
        files |= {"/etc/hosts": "hosts", "/etc/resolv.conf": "resolv.conf"}
        taken = {os.path.normpath(mount.target) for mount in mounts}
        parts = Parts(
            id=container_id,
            name=wanted.name,
            number=wanted.number,
            replaces=wanted.replaces,
            mounts=mounts,
            files={target: file for target, file in files.items() if target not in taken},
            joined=wanted.joined,
            created_ns=wanted.created_ns,
            oneoff=wanted.oneoff,
            hook=wanted.hook,
            version=self._version,
            hostname=self._hostname(wanted.joined.get(wanted.service.network_mode, "")),
        )
        config = container_config(wanted.project, wanted.service, wanted.image, parts)
        return _with_devices(config, wanted.service)

    def _record(self, wanted: NewContainer, anonymous_volumes: tuple[str, ...]) -> ServiceRecord:
        service = wanted.service
        health = make_spec(service.health, _image_health(wanted.image))
        ready = ready_spec(service.name, service.extensions.get(READY)) if health is None else None
        return ServiceRecord(
            service=service,
            networks={e.network: wanted.project.networks[e.network] for e in service.networks},
            health=health if ready is None else READY_TIMING,
            ready=ready,
            number=wanted.number,
            oneoff=wanted.oneoff,
            auto_remove=wanted.auto_remove,
            publish=wanted.publish,
            anonymous_volumes=anonymous_volumes,
            takes_over=wanted.replaces if wanted.beside else "",
            lease=self._lease(wanted),
            image_ports=wanted.image.config.exposed_ports,
        )

    def _borrowed(self, service: Service, joined: dict[str, str]) -> Iterator[Mount]:
        """Yield the volumes and binds of the containers in `volumes_from`."""
        injected = str(self.paths.run)
        for source, read_only in volume_sources(service):
            other = read_container(self.paths, joined[source])
            for mount in other.config.mounts if other is not None else ():
                if mount.kind is MountKind.BIND and not mount.source.startswith(injected):
                    yield replace(mount, read_only=mount.read_only or read_only)

    def sync(self) -> None:
        """Bring what was written about containers to the disk, all at once (sync(2) of one file system: syncfs(2))."""
        with contextlib.suppress(OSError):
            fd = os.open(self.paths.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                call("syncfs", fd)
            finally:
                os.close(fd)

    def _hostname(self, container_id: str) -> str:
        """Return the hostname of a container, "" when there is none."""
        found = read_container(self.paths, container_id) if container_id else None
        return found.config.hostname if found is not None else ""

    def _lease(self, wanted: NewContainer) -> str:
        """Return which of the replica's two sets of addresses the container gets."""
        try:
            lease = read_service(self.paths, wanted.replaces).lease if wanted.replaces else ""
        except (FileNotFoundError, StateError):
            lease = ""
        if wanted.beside:
            return "" if lease else SECOND_LEASE
        return lease

    def rename(self, config: ContainerConfig, name: str) -> ContainerConfig:
        """Give a container another name; raises AlreadyExists, EngineError. Can be repeated after a crash."""
        self.claims.rename(config.id, config.name, name)
        renamed = replace(config, name=name)
        write_json(self.paths.container(config.id) / "config.json", plain(renamed), durable=False)
        if config.name != name:
            self.claims.release(config.id, config.name)
        record = read_runtime(self.paths, config.id)
        endpoints = self._wiring.rename(config.id, config.name, name)
        if endpoints:
            write_runtime(self.paths, config.id, replace(record, endpoints=endpoints))
            self._wiring.notify_others(endpoints)
        return renamed

    def take_over(self, config: ContainerConfig, record: ServiceRecord, old_id: str) -> None:
        """Lead ports and names of another container to this one; raises NetworkError, and nothing has changed then."""
        new, old = self._wiring.take_over(config, record, old_id)
        write_service(self.paths, config.id, record)
        write_runtime(self.paths, config.id, replace(read_runtime(self.paths, config.id), ports=new))
        if self.paths.container_run(old_id).exists():
            write_runtime(self.paths, old_id, replace(read_runtime(self.paths, old_id), ports=old))

    def _inherited(self, container_id: str) -> dict[str, str]:
        """Return target → anonymous volume of the container that is being replaced."""
        old = read_container(self.paths, container_id)
        if old is None:
            return {}
        record = read_service(self.paths, container_id)
        return anonymous_by_target(old.config.mounts, record.anonymous_volumes, self.paths.volumes)

    # ------------------------------------------------------------------ running

    def start(
        self, config: ContainerConfig, record: ServiceRecord, restarts: int
    ) -> tuple[ContainerConfig, ContainerState]:
        """Set up volumes, network and ports, start process 1; return what it was started with, and its state.

        Raises VolumeError, NetworkError, EngineError.
        """
        config = self._bound_again(config, record)
        before = read_runtime(self.paths, config.id)
        mount_volumes(self.paths, config)
        self._mounted.begin(config)
        with self._connecting:
            runtime = self._wiring.connect(config, record)
        write_runtime(
            self.paths,
            config.id,
            RuntimeRecord(
                ports=runtime.ports,
                endpoints=runtime.endpoints,
                # True until it runs: whoever looks meanwhile is to wait for that.
                restarting=before.restarting,
                after_ns=before.after_ns,
                restarts=restarts,
                exposed=runtime.exposed,
            ),
        )
        sockets = self._wiring.sockets(config.id)
        if self._api_sockets is not None:
            self._api_sockets.open(config)
            sockets = {**sockets, **self._api_sockets.sockets(config.id)}
        state = self.keeper.start_container(config.id, sockets)
        self._wiring.answer_names(config.id)
        if self.project == STANDALONE and not record.auto_remove:
            with contextlib.suppress(OSError):
                note(self.paths, config.id, LastStatus.UP)
        return config, state

    def _bound_again(self, config: ContainerConfig, record: ServiceRecord) -> ContainerConfig:
        """Return the config with what other containers are now: they may have been made anew, or have other addresses.

        Those are `container:NAME`, and links. Raises EngineError for a link to a container that doesn't run.
        """
        before, service = config, record.service
        modes = {"network": service.network_mode, "pid": service.pid, "ipc": service.ipc}
        changed = {}
        for kind, mode in modes.items():
            found = self.claims.find(mode.partition(":")[2]) if mode.startswith("container:") else ""
            if found and getattr(config.namespaces, kind) != f"container:{found}":
                changed[kind] = f"container:{found}"
        if changed:
            config = replace(config, namespaces=replace(config.namespaces, **changed))
        linked = linked_variables(self.paths, config, record, self.claims.find)
        if linked != config.process.linked:
            config = replace(config, process=replace(config.process, linked=linked))
        if config is not before:
            write_json(self.paths.container(config.id) / "config.json", plain(config), durable=False)
        return config

    def ended(self, containers: Sequence[tuple[str, bool]]) -> list[None]:
        """Give back what only a running container needs: address, ports, name in the DNS, volumes that are mounts.

        `containers` are ids, and whether somebody has stopped it.
        """
        self._wiring.disconnect(*(container_id for container_id, _ in containers))
        if self._api_sockets is not None:
            self._api_sockets.close(self._keeper, [container_id for container_id, _ in containers])
        for container_id, stopped in containers:
            release_volumes(self.paths, container_id)
            self._mounted.end(container_id)
            if self.paths.container(container_id).exists():
                record = read_runtime(self.paths, container_id)
                changed = RuntimeRecord(stopped=stopped, restarts=record.restarts)
                write_runtime(self.paths, container_id, changed)
                if not stopped:
                    note_change(self.paths, container_id, LastStatus.ENDED)
        return [None] * len(containers)

    def check_room(self, container_ids: Iterable[str]) -> None:
        """Make sure that what a start writes can be written, before anybody stops for it. Raises StorageError."""
        for container_id in container_ids:
            for directory in (self.paths.container(container_id), self.paths.container_run(container_id)):
                probe = directory / ".room"
                try:
                    make_directory(directory)
                    fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
                    try:
                        os.posix_fallocate(fd, 0, START_BYTES)
                    finally:
                        os.close(fd)
                        probe.unlink()
                except OSError as exc:
                    exc.filename = str(directory)
                    if (error := storage_error(exc)) is not None:
                        raise error from exc

    def mark_stopped(self, container_ids: Sequence[str]) -> list[None]:
        """Remember that somebody asked for the end, also for the supervisor after this one."""
        for container_id in container_ids:
            note_change(self.paths, container_id, LastStatus.STOPPED)
            record = read_runtime(self.paths, container_id)
            write_runtime(
                self.paths,
                container_id,
                RuntimeRecord(
                    ports=record.ports, endpoints=record.endpoints, stopped=True, restarts=record.restarts
                ),
            )
        return [None] * len(container_ids)

    def signal(self, wanted: Sequence[tuple[str, int]]) -> Sequence[PycomposeError | None]:
        """Send each of several containers a signal; return what went wrong with it, None where nothing did."""
        return self.keeper.signal_each(wanted)

    def mark_wanted(self, container_id: str) -> None:
        """Take back what `mark_stopped` has written."""
        note_change(self.paths, container_id, LastStatus.UP)
        record = read_runtime(self.paths, container_id)
        write_runtime(self.paths, container_id, replace(record, stopped=False))

    def mark_restarting(self, container_id: str, restarts: int, *, stopped: bool) -> None:
        """Remember that the container waits for its next start, which somebody wants who has `stopped` it."""
        self._wiring.withdraw_names(container_id)
        self._mounted.end(container_id)
        record = read_runtime(self.paths, container_id)
        changed = RuntimeRecord(
            ports=record.ports,
            endpoints=record.endpoints,
            stopped=stopped,
            restarting=True,
            after_ns=read_state(self.paths, container_id).started_ns,
            restarts=restarts,
        )
        write_runtime(self.paths, container_id, changed)

    def address(self, container_id: str) -> str:
        """Return an address of the container that this machine can reach, "" when it has none."""
        return next((e.ip for e in read_runtime(self.paths, container_id).endpoints if e.ip), "")

    def last_lines(self, container_id: str, count: int) -> list[str]:
        """Return the last lines that a container wrote, for messages."""
        directory = self.paths.container(container_id) / "log"
        if not directory.exists():
            return []
        return [line.data.decode(errors="replace") for line in read_logs(directory, tail=count)]

    # ------------------------------------------------------------------ removing

    def remove(self, container_id: str, *, volumes: bool) -> None:
        """Remove a container and all that was made for it; idempotent, works on half-made and half-removed ones."""
        self.discard([container_id])
        self.erase(container_id, volumes=volumes)

    def discard(self, container_ids: Sequence[str]) -> list[None]:
        """Take away what containers have at run time, if they have any of it: the first half of `remove`."""
        found = [
            container_id
            for container_id in container_ids
            if self._keeper is not None or self.paths.container_run(container_id).exists()
        ]
        if found:
            self.keeper.discard(*found)  # not there: what only it can remove must not be forgotten
        self._wiring.forget(*container_ids)
        if self._api_sockets is not None:
            self._api_sockets.close(self._keeper, container_ids)
        for container_id in container_ids:
            release_volumes(self.paths, container_id)
        return [None] * len(container_ids)

    def erase(self, container_id: str, *, volumes: bool) -> None:
        """Remove what lies on the disk of a container that has nothing else: the second half of `remove`."""
        config = read_container(self.paths, container_id)
        anonymous: tuple[str, ...] = ()
        with contextlib.suppress(FileNotFoundError, StateError):
            anonymous = read_service(self.paths, container_id).anonymous_volumes
        if volumes:
            store = VolumeStore(self.paths)
            for name in anonymous:
                store.remove(name)
        self._discard_files(container_id, config.name if config else self.claims.name(container_id))

    def _discard_files(self, container_id: str, name: str) -> None:
        """Remove the files of a container, its claim last."""
        from pycompose.engine.linux.trees import remove_tree  # noqa: PLC0415 - a start doesn't need it

        for directory in (
            self.paths.injected(container_id),
            self.paths.container_run(container_id),
            self.paths.container(container_id),
        ):
            try:
                remove_tree(directory)
            except OSError as exc:
                exc.filename = str(directory)  # it tells a name without its directory
                raise
        if self.paths.layers.exists():
            from pycompose.engine.container.uppers import remove_uppers  # noqa: PLC0415 - hardly any machine has it

            remove_uppers(self.paths, container_id)
        self.claims.forget(container_id, name)


def _with_devices(config: ContainerConfig, service: Service) -> ContainerConfig:
    """Return the container with the devices that the service asks for by name; raises EngineError."""
    if not service.device_requests:
        return config
    from pycompose.cdi.inject import inject  # noqa: PLC0415 - for the few that ask for any

    return inject(config, service.device_requests)


def _image_health(image: Image) -> Health | None:
    found = image.config.healthcheck
    if found is None:
        return None
    return Health(
        test=found.test or None,
        interval_s=found.interval_s,
        timeout_s=found.timeout_s,
        start_period_s=found.start_period_s,
        start_interval_s=found.start_interval_s,
        retries=found.retries,
    )
