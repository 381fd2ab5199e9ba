"""What a pod mounts: claims, files, memory, and what of the machine a cluster can't have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.paths import DOCKER_SOCKETS
from pycompose.kube import files
from pycompose.kube.names import given_name, label, refuse_shared
from pycompose.kube.scope import KubeScope, Object, place
from pycompose.kube.values import digest, memory
from pycompose.units import parse_bytes

if TYPE_CHECKING:
    from pycompose.kube.files import Contents
    from pycompose.model import Service, ServiceVolume

MODE = 0o444
# What clusters give files unless told.
USUAL_MODE = 0o644
EXECUTABLE = 0o111


@dataclass(slots=True)
class Mounts:
    """The volumes of a pod and the mounts of its container.

    `objects` are the ConfigMaps and Secrets of single files, `stamps` what tells their contents, `claims` the keys of
    the named volumes. `private` tells of a file that is only for its owner.
    """

    volumes: list[Object] = field(default_factory=list)
    mounts: list[Object] = field(default_factory=list)
    objects: list[Object] = field(default_factory=list)
    stamps: list[str] = field(default_factory=list)
    claims: list[str] = field(default_factory=list)
    private: bool = False

    def add(self, source: Object, target: str, *, read_only: bool = False, subpath: str = "") -> None:
        """Mount a source at `target`; the same source is one volume."""
        name = next((known["name"] for known in self.volumes if _source(known) == source), "")
        if not name:
            name = f"v{len(self.volumes)}"
            self.volumes.append({"name": name, **source})
        mount: Object = {"name": name, "mountPath": target}
        if read_only:
            mount["readOnly"] = True
        if subpath:
            mount["subPath"] = subpath
        self.mounts.append(mount)


def mounts_of(scope: KubeScope, service: Service, contents: Contents) -> Mounts:
    """Return what a service mounts; `contents` are those of configs and secrets (files.py)."""
    found = Mounts()
    for index, volume in enumerate(service.volumes):
        _volume(scope, service, volume, index, found)
    for index, text in enumerate(service.tmpfs):
        _tmpfs(scope, service, text, index, found)
    if service.shm_bytes:
        found.add({"emptyDir": {"medium": "Memory", "sizeLimit": memory(service.shm_bytes)}}, "/dev/shm")  # noqa: S108
    for kind, references in (("configs", service.configs), ("secrets", service.secrets)):
        for index, reference in enumerate(references):
            content = contents.get((kind, reference.source))
            _file_reference(scope, service, kind, index, content, found)
            found.stamps += [content.stamp if content else ""]
    return found


def claim_objects(scope: KubeScope) -> list[Object]:
    """Return a claim for each named volume that is used."""
    users: dict[str, list[str]] = {}
    for service in scope.project.services.values():
        for volume in service.volumes:
            if volume.kind == "volume" and volume.source and service.name not in users.get(volume.source, []):
                users.setdefault(volume.source, []).append(service.name)
    names: dict[str, str] = {}
    found: list[Object] = []
    for key, item in scope.project.volumes.items():
        if key not in users or item.external:
            continue
        other = names.setdefault(label(key), key)
        if other == key:
            found.append(_claim(scope, key, users[key]))
        else:
            refuse_shared(scope.remarks, ("volumes", key), label(key), other)
    return found


def claim_name(scope: KubeScope, key: str) -> str:
    """Return the name of a volume's claim: an external one's own."""
    volume = scope.project.volumes[key]
    return given_name(scope.remarks, ("volumes", key), volume.name) if volume.external else label(key)


def _claim(scope: KubeScope, key: str, users: list[str]) -> Object:
    settings = scope.settings.volumes[key]
    pods = sum(scope.project.services[name].replicas for name in users)
    if pods > 1 and settings.access_mode.startswith("ReadWriteOnce"):
        scope.remarks.warning(
            ("volumes", key),
            f"{pods} pods mount it ({', '.join(users)}): {settings.access_mode} holds them on one node; "
            "x-kube: {accessMode: ReadWriteMany} where the storage can",
        )
    storage = {"storageClassName": settings.storage_class} if settings.storage_class else {}
    spec = {
        "accessModes": [settings.access_mode],
        "resources": {"requests": {"storage": settings.size}},
        **storage,
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": scope.metadata(label(key)),
        "spec": spec,
    }


def _volume(scope: KubeScope, service: Service, volume: ServiceVolume, index: int, found: Mounts) -> None:
    path = place(service, "volumes", index)
    read_only, subpath = volume.read_only, volume.subpath
    if volume.kind == "volume" and volume.source:
        claim = {"persistentVolumeClaim": {"claimName": claim_name(scope, volume.source)}}
        found.add(claim, volume.target, read_only=read_only, subpath=subpath)
        found.claims.append(volume.source)
        if not volume.nocopy:
            scope.remarks.note(
                path,
                f"{volume.source} begins empty there: what the image has at {volume.target} isn't copied into it",
            )
    elif volume.kind == "volume":
        found.add({"emptyDir": {}}, volume.target, read_only=read_only)
        scope.remarks.note(path, "an anonymous volume is gone with its pod")
    elif volume.kind == "tmpfs":
        size = {"sizeLimit": memory(volume.tmpfs_size_bytes)} if volume.tmpfs_size_bytes else {}
        found.add({"emptyDir": {"medium": "Memory", **size}}, volume.target, read_only=read_only)
    elif volume.kind == "image":
        found.add({"image": {"reference": volume.source}}, volume.target, read_only=True, subpath=subpath)
        scope.remarks.note(path, "clusters mount images from Kubernetes 1.33 on")
    else:
        _bind(scope, service, volume, path, found)


def _bind(
    scope: KubeScope, service: Service, volume: ServiceVolume, path: tuple[str | int, ...], found: Mounts
) -> None:
    source = volume.source
    if source in DOCKER_SOCKETS or source.endswith(("docker.sock", "podman.sock")):
        scope.remarks.error(path, f"{source}: no such engine runs in a cluster")
    elif scope.options.host_binds:
        kind = "File" if Path(source).is_file() else "DirectoryOrCreate"
        found.add({"hostPath": {"path": source, "type": kind}}, volume.target, read_only=volume.read_only)
        scope.remarks.note(path, f"{source} has to be on the node")
    elif Path(source).is_file():
        _single_file(scope, service, volume, path, found)
    elif service.build and _within(source, service.build.context):
        scope.remarks.warning(path, f"{source} is left out: source code comes with the image")
    else:
        scope.remarks.error(
            path,
            f"{source} {_what(source)}: use a named volume, configs, or --binds hostpath for a cluster of one machine",
        )


def _what(source: str) -> str:
    """Return what a path of this machine leads to, if not to a file."""
    if not os.path.lexists(source):
        return "isn't on this machine"
    return "is a directory of this machine" if os.path.isdir(source) else "is no file, but this machine's own"


def _within(source: str, context: str) -> bool:
    """Tell whether a directory is of what an image is built from."""
    top = os.path.normpath(context)
    return os.path.isabs(top) and os.path.commonpath((os.path.normpath(source), top)) == top


def _single_file(
    scope: KubeScope, service: Service, volume: ServiceVolume, path: tuple[str | int, ...], found: Mounts
) -> None:
    content = files.read_file(scope, volume.source, path)
    if content is None:
        return
    name = scope.names[service.name]
    own = f"{name}-file-{digest(volume.target, 6)}"
    found.objects.append(content.object(scope, own, name))
    found.stamps.append(content.stamp)
    found.private |= content.private
    mode = {"defaultMode": content.mode} if content.mode not in (None, USUAL_MODE) else {}
    source = (
        {"secret": {"secretName": own, **mode}} if content.private else {"configMap": {"name": own, **mode}}
    )
    found.add(source, volume.target, read_only=True, subpath=files.KEY)
    kind = "Secret" if content.private else "ConfigMap"
    scope.remarks.note(path, f"{volume.source} is a {kind} there: as it is now, and read-only")


def _tmpfs(scope: KubeScope, service: Service, text: str, index: int, found: Mounts) -> None:
    target, _, options = text.partition(":")
    memory_only: Object = {"medium": "Memory"}
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        if key == "size" and value:
            memory_only["sizeLimit"] = memory(parse_bytes(value))
        elif key not in ("rw", "exec", "noexec", "nosuid", "nodev"):
            scope.remarks.note(place(service, "tmpfs", index), f"{option} is left out")
    found.add({"emptyDir": memory_only}, target, read_only="ro" in options.split(","))


def _file_reference(
    scope: KubeScope, service: Service, kind: str, index: int, content: files.Content | None, found: Mounts
) -> None:
    """Mount a config or secret; what was said of its mode counts, else whether its file can be executed."""
    configs = kind == "configs"
    reference = (service.configs if configs else service.secrets)[index]
    item = (scope.project.configs if configs else scope.project.secrets)[reference.source]
    name = files.object_name(scope, kind, item)
    own = ((content.mode if content else None) or 0) & EXECUTABLE
    mode = {"defaultMode": MODE | own if reference.mode is None else reference.mode & 0o777}
    source = {"configMap": {"name": name, **mode}} if configs else {"secret": {"secretName": name, **mode}}
    found.add(source, reference.target, read_only=True, subpath=files.KEY)
    if reference.uid or reference.gid:
        scope.remarks.note(
            place(service, kind, index), "uid and gid are left out: files belong to root there"
        )
    if item.external:
        scope.remarks.note(
            (kind, reference.source), f"the cluster has to have {name}, with the key {files.KEY}"
        )


def _source(volume: Object) -> Object:
    return {key: value for key, value in volume.items() if key != "name"}
