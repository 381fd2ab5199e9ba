"""Files as ConfigMaps and Secrets: configs, secrets, and single files that are bind-mounted."""

from __future__ import annotations

import base64
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass, replace
from pycompose.kube.names import given_name, label, refuse_shared
from pycompose.kube.scope import KubeScope, Object
from pycompose.kube.values import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycompose.model import FileObject

# What etcd takes: Kubernetes' documentation of ConfigMaps and of Secrets.
LARGEST_BYTES = 1 << 20
KEY = "content"


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a file, and what it becomes: a Secret when others may not read it, else a ConfigMap.

    `mode` has the permissions of the file, None where there is no file.
    """

    data: bytes
    private: bool = False
    mode: int | None = None

    def object(self, scope: KubeScope, name: str, service: str = "") -> Object:
        """Return the object."""
        metadata = scope.metadata(name, service)
        if self.private:
            return secret_object(metadata, {KEY: self.data})
        found: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
        try:
            return {**found, "data": {KEY: self.data.decode()}}
        except UnicodeDecodeError:
            return {**found, "binaryData": {KEY: encoded(self.data)}}

    @property
    def stamp(self) -> str:
        """What tells this content from others."""
        return digest(self.data.hex(), 16)


Contents = dict[tuple[str, str], Content]


def secret_object(metadata: Object, values: Mapping[str, bytes]) -> Object:
    """Return a Secret. As `data`: server-side apply and `kubectl diff` aren't made for `stringData`."""
    data = {key: encoded(value) for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


def encoded(data: bytes) -> str:
    """Return bytes as objects hold them."""
    return base64.b64encode(data).decode()


def objects(scope: KubeScope) -> tuple[list[Object], Contents]:
    """Return the objects of configs and secrets, and each content by ("configs" or "secrets", key)."""
    found: list[Object] = []
    contents: Contents = {}
    names: dict[tuple[str, str], str] = {}
    for kind, group in (("configs", scope.project.configs), ("secrets", scope.project.secrets)):
        used = {
            reference.source
            for service in scope.project.services.values()
            for reference in (service.configs if kind == "configs" else service.secrets)
        }
        for key, item in group.items():
            if item.external or key not in used:
                continue
            content, name = _read(scope, kind, item), object_name(scope, kind, item)
            other = names.setdefault((kind, name), key)
            if other != key:
                refuse_shared(scope.remarks, (kind, key), name, other)
            elif content is not None:
                found.append(content.object(scope, name))
                contents[kind, key] = content
    return found, contents


def object_name(scope: KubeScope, kind: str, item: FileObject) -> str:
    """Return the name of a config's or secret's object: an external one's own."""
    return given_name(scope.remarks, (kind, item.key), item.name) if item.external else label(item.key)


def _read(scope: KubeScope, kind: str, item: FileObject) -> Content | None:
    path = (kind, item.key)
    if item.content is not None:
        data = item.content.encode(errors="surrogateescape")
    elif item.file is not None:
        found = read_file(scope, item.file, path)
        return None if found is None else replace(found, private=kind == "secrets")
    elif item.environment is not None:
        data = item.environment.encode(errors="surrogateescape")
    else:
        scope.remarks.error(path, f"the variable {item.variable} isn't set")
        return None
    if len(data) > LARGEST_BYTES:
        scope.remarks.error(path, "is larger than the 1 MiB that a cluster keeps in one object")
        return None
    return Content(data, private=kind == "secrets")


def read_file(scope: KubeScope, name: str, path: tuple[str | int, ...]) -> Content | None:
    """Return the content of a file; one that can't be read, or is too large, is an error at `path`."""
    try:
        info = Path(name).stat()
        if not stat.S_ISREG(info.st_mode):
            scope.remarks.error(path, f"{name} is no file")
            return None
        if info.st_size > LARGEST_BYTES:
            scope.remarks.error(path, f"{name} is larger than the 1 MiB that a cluster keeps in one object")
            return None
        data = Path(name).read_bytes()
        return Content(data, private=not info.st_mode & stat.S_IROTH, mode=info.st_mode & 0o777)
    except OSError as exc:
        scope.remarks.error(path, f"cannot read {name}: {exc.strerror}")
        return None
