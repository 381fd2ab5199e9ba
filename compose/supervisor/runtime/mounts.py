"""From `volumes:`, `secrets:` and `configs:` of a service to the engine's mounts, making what has to exist."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from pycompose.engine.config import Mount, MountKind
from pycompose.engine.dataclass import dataclass, field, replace
from pycompose.engine.errors import FEW_IDS, VolumeError
from pycompose.engine.linux import userns
from pycompose.engine.paths import DOCKER_SOCKETS
from pycompose.labels import CONFIG_HASH, PROJECT, VOLUME
from pycompose.state.users import volume_of
from pycompose.supervisor.api_sockets import make_place
from pycompose.volumes.injected_files import InjectedFile, mounts_of, read_source, write_files
from pycompose.volumes.store import VolumeSpec, VolumeStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pycompose.engine.config import ContainerConfig
    from pycompose.engine.images.spec import Image
    from pycompose.engine.paths import StatePaths
    from pycompose.model import FileObject, FileReference, Project, Service, ServiceVolume, Volume
    from pycompose.volumes.store import VolumeState


@dataclass(slots=True)
class MountBuilder:
    """Makes the mounts of one container. `inherited` maps target → anonymous volume of the one it replaces.

    `borrowed` are the mounts of other containers (`volumes_from`), which own ones go before.
    `anonymous` collects the anonymous volumes in use, new and inherited; `made` are the new ones.
    `resolve_image` finds images to be mounted.
    """

    paths: StatePaths
    project: Project
    service: Service
    image: Image
    container_id: str
    inherited: dict[str, str]
    resolve_image: Callable[[str], Image]
    borrowed: tuple[Mount, ...] = ()
    anonymous: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)

    def build(self) -> tuple[Mount, ...]:
        """Return all mounts; raises VolumeError naming service, source and reason."""
        mounts = [self._volume(volume) for volume in self.service.volumes]
        taken = {os.path.normpath(mount.target) for mount in mounts}
        taken |= {os.path.normpath(entry.partition(":")[0]) for entry in self.service.tmpfs}
        for target in self.image.config.volumes:
            if not target.startswith("/"):
                raise VolumeError(
                    f"service {self.service.name}: volume {target!r} of image {self.service.image} is not absolute"
                )
            if os.path.normpath(target) not in taken:
                taken.add(os.path.normpath(target))
                mounts.append(self._named(self._anonymous(target), target))
        mounts += [mount for mount in self.borrowed if os.path.normpath(mount.target) not in taken]
        files = injected_files(self.project, self.service)
        directory = self.paths.injected(self.container_id)
        write_files(directory, files)
        return (*mounts, *mounts_of(directory, files))

    def _volume(self, volume: ServiceVolume) -> Mount:
        if not volume.target.startswith("/"):
            raise VolumeError(
                f"service {self.service.name}: mount path {volume.target!r} is not absolute",
                hint="a volume's name has at least two letters: a single one is taken for a Windows drive",
            )
        if volume.kind == "bind":
            return self._bind(volume)
        if volume.kind == "tmpfs":
            return _tmpfs(volume)
        if volume.kind == "image":
            return self._image(volume)
        if volume.kind != "volume":
            raise VolumeError(
                f"service {self.service.name}: volume type {volume.kind!r} doesn't exist on Linux",
                hint="known: bind, volume, tmpfs, image",
            )
        if volume.source:
            name = self.project.volumes[volume.source].name
        else:
            name = self._anonymous(volume.target, volume.labels)
        mount = self._named(
            name, volume.target, read_only=volume.read_only, nocopy=volume.nocopy, subpath=volume.subpath
        )
        return replace(mount, uid_map=volume.uid_map, gid_map=volume.gid_map)

    def _bind(self, volume: ServiceVolume) -> Mount:
        if volume.source in DOCKER_SOCKETS:
            return self._api(volume)
        what = f"service {self.service.name}: bind mount {volume.source} -> {volume.target}"
        if not os.path.lexists(volume.source):
            if not volume.create_host_path:
                raise VolumeError(
                    f"{what}: bind source path does not exist: {volume.source}",
                    hint="create it, or set bind.create_host_path: true (-v of `container run` does)",
                )
            _make_host_directory(volume.source, what)
        _check_propagation(volume, what)
        return Mount(
            kind=MountKind.BIND,
            source=volume.source,
            target=volume.target,
            read_only=volume.read_only,
            submounts=volume.recursive != "disabled",
            recursive=volume.recursive != "writable",
            propagation=volume.propagation or "rprivate",
            uid_map=volume.uid_map,
            gid_map=volume.gid_map,
        )

    def _api(self, volume: ServiceVolume) -> Mount:
        """Return the mount of our own Engine API in the place of Docker's, whether the machine has a Docker or not."""
        place = self.paths.api_socket(self.container_id)
        try:
            make_place(place)
        except OSError as exc:
            raise VolumeError(
                f"service {self.service.name}: bind mount {volume.source}: cannot make {place}: {exc.strerror}"
            ) from exc
        return Mount(
            kind=MountKind.BIND,
            source=os.fspath(place),
            target=volume.target,
            read_only=volume.read_only,
            propagation="rprivate",
        )

    def _named(
        self, name: str, target: str, *, read_only: bool = False, nocopy: bool = False, subpath: str = ""
    ) -> Mount:
        if subpath.startswith("/") or ".." in subpath.split("/"):
            raise VolumeError(
                f"service {self.service.name}: subpath {subpath}: must be a relative path within the volume"
            )
        store = VolumeStore(self.paths)
        state = store.get(name)
        if state is None:
            raise VolumeError(f"volume {name}: not found", hint="create it, or take `external: true` away")
        if not nocopy:
            self._fill(state, os.path.normpath(target))
        return Mount(
            kind=MountKind.BIND,
            source=str(store.data(name)),
            target=target,
            read_only=read_only,
            subpath=subpath,
        )

    def _fill(self, volume: VolumeState, target: str) -> None:
        """Copy what the image has at `target` into an empty volume; one that is a mount is mounted for that time."""
        from pycompose.volumes.copyup import copy_up  # noqa: PLC0415 - for named volumes only

        directory, trees = self.paths.volume(volume.name), self.image.trees
        if not volume.mounted:
            copy_up(directory, trees, target, name=volume.name)
            return
        from pycompose.volumes.mounting import held  # noqa: PLC0415 - few volumes are mounts

        with held(self.paths, volume, self.container_id):
            copy_up(directory, trees, target, name=volume.name, foreign=True)

    def _anonymous(self, target: str, labels: dict[str, str] | None = None) -> str:
        """Return the anonymous volume of `target`: the replaced container's, or a new one with `labels`."""
        name = self.inherited.get(os.path.normpath(target))
        store = VolumeStore(self.paths)
        if name is None or store.get(name) is None:
            name = store.ensure_anonymous(self.project.name, labels or {}).name
            self.made.append(name)
        self.anonymous.append(name)
        return name

    def _image(self, volume: ServiceVolume) -> Mount:
        image = self.resolve_image(volume.source)
        if len(image.trees) != 1 or len(image.trees[0].lowers) != 1:
            raise VolumeError(
                f"service {self.service.name}: cannot mount image {volume.source}: it has more than one layer",
                hint="only images of one layer can be mounted as a volume",
            )
        return Mount(
            kind=MountKind.BIND,
            source=image.trees[0].lowers[0],
            target=volume.target,
            subpath=volume.subpath,
            read_only=True,
        )


def injected_files(project: Project, service: Service) -> list[InjectedFile]:
    """Return the service's secrets and configs, as they are now; raises VolumeError."""
    files = [_injected("secret", item, project.secrets, service) for item in service.secrets]
    files += [_injected("config", item, project.configs, service) for item in service.configs]
    return files


def rewrite_files(paths: StatePaths, project: Project, service: Service, config: ContainerConfig) -> None:
    """Make the secrets and configs of a container anew that are made for it, before it starts; raises VolumeError."""
    directory = paths.injected(config.id)
    mounted = {mount.source for mount in config.mounts}
    files = [
        # Older versions had a copy of every file.
        replace(file, source="", content=read_source(file.name, file.source))
        if file.source and str(directory / str(index)) in mounted
        else file
        for index, file in enumerate(injected_files(project, service))
    ]
    write_files(directory, files)


def _injected(
    kind: str, reference: FileReference, objects: dict[str, FileObject], service: Service
) -> InjectedFile:
    found = objects[reference.source]
    what = f"service {service.name}: {kind} {reference.source}"
    try:
        uid, gid = (int(text) if text else None for text in (reference.uid, reference.gid))
    except ValueError:
        raise VolumeError(f"{what}: uid and gid have to be numbers") from None
    mode = reference.mode
    if found.content is not None:
        content = found.content.encode()
    elif found.environment is not None:
        content = found.environment.encode()
    elif found.variable:
        raise VolumeError(
            f'environment variable "{found.variable}" required by {kind} "{reference.source}" is not set',
            hint="export it, or put it into .env",
        )
    elif found.file is not None:
        status = _status(what, found.file)
        if (uid, gid, mode) == (None, None, None):
            return InjectedFile(name=what, target=reference.target, source=found.file)
        content = read_source(what, found.file)
        uid = status.st_uid if uid is None else uid
        gid = status.st_gid if gid is None else gid
        mode = stat.S_IMODE(status.st_mode) if mode is None else mode
    else:
        raise VolumeError(
            f"{what}: unsupported external {kind} {reference.source}: only a cluster has such",
            hint="give it `file:`, `environment:` or `content:`",
        )
    if foreign := userns.foreign(uid or 0, gid or 0):
        raise VolumeError(f"{what}: {foreign}", hint=FEW_IDS)
    return InjectedFile(
        name=what,
        target=reference.target,
        content=content,
        uid=uid or 0,
        gid=gid or 0,
        mode=0o444 if mode is None else mode,
    )


def _status(what: str, path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as exc:
        raise VolumeError(f"{what}: cannot read {path}: {exc.strerror}") from exc


def volume_spec(project: Project, volume: Volume) -> VolumeSpec:
    """Return what volumes.store makes of a top-level volume."""
    labels = {
        **volume.labels,
        PROJECT: project.name,
        VOLUME: volume.key,
        CONFIG_HASH: volume.hash,
    }
    return VolumeSpec(name=volume.name, driver=volume.driver, options=volume.driver_opts, labels=labels)


def ensure_volume(paths: StatePaths, project: Project, volume: Volume) -> None:
    """Create a top-level volume unless it exists; an external one has to exist. Raises VolumeError."""
    store = VolumeStore(paths)
    if volume.external:
        if store.get(volume.name) is None:
            raise VolumeError(
                f'external volume "{volume.name}" not found',
                hint=f"create it with `pycompose volume create {volume.name}`, or remove `external: true`",
            )
        return
    store.ensure(volume_spec(project, volume))


def mount_volumes(paths: StatePaths, config: ContainerConfig) -> None:
    """Mount the volumes of a container that are mounts, before it starts; idempotent. Raises VolumeError."""
    store = VolumeStore(paths)
    names = {volume_of(paths, mount) for mount in config.mounts} - {""}
    found = [volume for name in sorted(names) if (volume := store.get(name)) is not None]
    for volume in found:
        if volume.restoring:
            raise VolumeError(
                f"volume {volume.name}: it is being restored to {volume.restoring}, or that was cut off",
                hint=f"pycompose volume restore {volume.name} {volume.restoring}",
            )
    if any(volume.mounted for volume in found):
        from pycompose.volumes.mounting import hold  # noqa: PLC0415 - most volumes are directories

        hold(paths, found, config.id)


def release_volumes(paths: StatePaths, container_id: str) -> None:
    """Unmount what `mount_volumes` has mounted for a container, unless others use it; idempotent."""
    if paths.volumes_run.exists():
        from pycompose.volumes.mounting import release  # noqa: PLC0415 - most volumes are directories

        release(paths, container_id)


def _tmpfs(volume: ServiceVolume) -> Mount:
    options = ["noexec", "nosuid", "nodev"]
    if volume.tmpfs_size_bytes is not None:
        options.append(f"size={volume.tmpfs_size_bytes}")
    if volume.tmpfs_mode is not None:
        options.append(f"mode={volume.tmpfs_mode:o}")
    return Mount(
        kind=MountKind.TMPFS, target=volume.target, read_only=volume.read_only, options=tuple(options)
    )


def _check_propagation(volume: ServiceVolume, what: str) -> None:
    """Raise VolumeError for a propagation that the source's mount doesn't allow."""
    if volume.propagation in ("", "private", "rprivate"):
        return
    from pycompose.volumes.propagation import refusal  # noqa: PLC0415 - hardly any bind has one

    if reason := refusal(volume.source, volume.propagation):
        raise VolumeError(f"{what}: {reason}", hint="make that one shared: mount --make-rshared PLACE")


def _make_host_directory(path: str, what: str) -> None:
    """Create a missing bind source; it belongs to whoever called sudo, not to root (docker/compose #13612)."""
    try:
        os.makedirs(path, mode=0o755, exist_ok=True)
        uid, gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
        if uid.isdigit() and gid.isdigit():
            os.chown(path, int(uid), int(gid))
    except OSError as exc:
        raise VolumeError(f"{what}: cannot create the source directory: {exc.strerror}") from exc


def anonymous_by_target(
    mounts: tuple[Mount, ...], anonymous: tuple[str, ...], volumes: Path
) -> dict[str, str]:
    """Return target → name of the anonymous volumes among `mounts`."""
    found = {}
    for mount in mounts:
        name = os.path.relpath(mount.source, volumes).split("/")[0] if mount.source else ""
        if name in anonymous:
            found[os.path.normpath(mount.target)] = name
    return found
