"""What every part of the conversion looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycompose.engine.dataclass import dataclass, field
from pycompose.kube.names import label

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pycompose.config.tree import Map, Path
    from pycompose.engine.images.spec import ImageConfig
    from pycompose.kube.remarks import Remarks
    from pycompose.kube.settings import ServiceSettings, Settings
    from pycompose.model import Project, Service

Object = dict[str, Any]
MANAGER = "pycompose"
PART_OF = "app.kubernetes.io/part-of"
MANAGED_BY = "app.kubernetes.io/managed-by"
NAME = "app.kubernetes.io/name"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What is known of a service's image because it is in the store here; `ids` are uid and gid of its user by name."""

    config: ImageConfig
    ids: Callable[[str], tuple[int, int] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says.

    `images` are references in place of the model's, by service. `host_binds` makes hostPath volumes of bind mounts,
    for clusters of one machine.
    """

    namespace: str = ""
    overrides: dict[tuple[str, str], str] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    host_binds: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeScope:
    """One conversion. `names` are the services' names in the cluster, `jobs` those that run to an end.

    `called` are the ports that services are called at, with where that is written (calls.py).
    """

    project: Project
    tree: Map
    remarks: Remarks
    settings: Settings
    options: Options
    names: dict[str, str]
    jobs: frozenset[str]
    images: Mapping[str, ImageFacts]
    called: Mapping[str, Mapping[int, str]]

    def node(self, service: Service) -> Map:
        """Return a service of the canonical tree: what the typed model has no field for."""
        node: Map = self.tree["services"][service.name]
        return node

    def of(self, service: Service) -> ServiceSettings:
        """Return the `x-kube` of a service."""
        return self.settings.services[service.name]

    def image(self, service: Service) -> ImageFacts | None:
        """Return what is known of the image of a service."""
        return self.images.get(service.name)

    def labels(self, name: str = "") -> dict[str, str]:
        """Return the labels of an object, of the service that has `name` in the cluster."""
        own = {NAME: name} if name else {}
        return {PART_OF: label(self.project.name), MANAGED_BY: MANAGER, **own}

    def selector(self, name: str) -> dict[str, str]:
        """Return the labels that tell the pods of a service from all others."""
        return {PART_OF: label(self.project.name), NAME: name}

    def metadata(self, name: str, service: str = "", **more: Any) -> Object:
        """Return the metadata of an object; `service` is the service's name in the cluster."""
        space = {"namespace": self.options.namespace} if self.options.namespace else {}
        return {"name": name, **space, "labels": self.labels(service), **more}


def place(service: Service, *keys: str | int) -> Path:
    """Return the path of an attribute of a service."""
    return ("services", service.name, *keys)
