"""A project as the objects of a cluster: pure, the same for the same input, in the order of what needs what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycompose.engine.dataclass import dataclass
from pycompose.kube import files, mounts, network, workloads
from pycompose.kube.calls import called_ports
from pycompose.kube.coverage import find_unmapped
from pycompose.kube.names import service_names
from pycompose.kube.parts import Part
from pycompose.kube.patches import apply_patches
from pycompose.kube.remarks import Remark, Remarks, Severity
from pycompose.kube.scope import NAME, KubeScope, Object, Options
from pycompose.kube.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pycompose.config.tree import Map, Path
    from pycompose.kube.scope import ImageFacts
    from pycompose.model import Project, Service

CONFIGS, SECRETS, VOLUMES, NETWORKS = "configs", "secrets", "volumes", "networks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What came of it. With an error among the remarks the parts are not to be used."""

    parts: tuple[Part, ...]
    remarks: tuple[Remark, ...]
    jobs: frozenset[str]

    @property
    def objects(self) -> list[Object]:
        """All objects, in order."""
        return [item for part in self.parts for item in part.objects]

    def of(self, severity: Severity) -> list[Remark]:
        """Return the remarks of a severity."""
        return [remark for remark in self.remarks if remark.severity is severity]


def convert(
    project: Project,
    tree: Map,
    images: Mapping[str, ImageFacts] | None = None,
    options: Options | None = None,
) -> Conversion:
    """Convert a project; `tree` is its canonical model, `images` what is known of services' images."""
    options = options or Options()
    remarks = Remarks(tree)
    settings = read_settings(remarks, options.overrides)
    find_unmapped(remarks)
    nodes = tree.get("services") or {}
    jobs = workloads.job_services(
        project,
        {name: one.kind for name, one in settings.services.items()},
        {name: str((node.get("deploy") or {}).get("mode") or "") for name, node in nodes.items()},
    )
    scope = KubeScope(
        project=project,
        tree=tree,
        remarks=remarks,
        settings=settings,
        options=options,
        names=service_names(tree, project.services, remarks),
        jobs=jobs,
        images=images or {},
        called=called_ports(project),
    )
    parts = _parts(scope)
    _refuse_shared_objects(scope, parts)
    _find_shared_hosts(scope)
    parts = apply_patches(scope, parts)
    order = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}
    return Conversion(
        parts=tuple(parts),
        remarks=tuple(sorted(remarks.found, key=lambda remark: order[remark.severity])),
        jobs=jobs,
    )


def _parts(scope: KubeScope) -> list[Part]:
    shared, contents = files.objects(scope)
    configs = [item for item in shared if item["kind"] == "ConfigMap"]
    secrets = [item for item in shared if item["kind"] == "Secret"]
    claims = mounts.claim_objects(scope)
    policies = network.policies(scope)
    services: list[Part] = []
    for service in in_order(scope.project):
        objects = [*workloads.workload(scope, service, contents), *network.services_of(scope, service)]
        secrets += [item for item in objects if item["kind"] == "Secret"]
        own = [item for item in objects if item["kind"] != "Secret"]
        services.append(
            Part(
                name=_file_name(scope, service),
                objects=tuple(own),
                service=service.name,
                after=_jobs_before(scope, service),
            )
        )
    first = ((CONFIGS, configs), (SECRETS, secrets), (VOLUMES, claims), (NETWORKS, policies))
    return [*(Part(name=name, objects=tuple(items)) for name, items in first if items), *services]


def _refuse_shared_objects(scope: KubeScope, parts: Iterable[Part]) -> None:
    """Find two objects of one kind and name: the second would take the first one's place."""
    keys = {name: key for key, name in scope.names.items()}
    if len(keys) < len(scope.names):
        return  # that two services have one name has been said
    owners: dict[tuple[str, str], Path] = {}
    for part in parts:
        for item in part.objects:
            service = keys.get(item["metadata"]["labels"].get(NAME, ""))
            path = ("services", service) if service else (part.name,)
            other = owners.setdefault(object_id(item), path)
            if other is not path:
                kind, name = object_id(item)
                text = (
                    f"its {kind} {name} would be that of {'.'.join(map(str, other))} too: rename one of them"
                )
                scope.remarks.error(path, text)


def _find_shared_hosts(scope: KubeScope) -> None:
    """Find services that are to answer at one address: which of them does is chance."""
    owners: dict[str, str] = {}
    for name in scope.project.services:
        host = scope.settings.services[name].ingress_host.rstrip("/")
        if host and owners.setdefault(host, name) != name:
            path = ("services", name, "x-kube", "expose")
            scope.remarks.warning(path, f"{host} is what {owners[host]} answers at, too")


def _file_name(scope: KubeScope, service: Service) -> str:
    """Return the name of a service's file; one that is called as a shared file is, is told apart."""
    name = scope.names[service.name]
    return f"service-{name}" if name in (CONFIGS, SECRETS, VOLUMES, NETWORKS, "kustomization") else name


def _jobs_before(scope: KubeScope, service: Service) -> tuple[str, ...]:
    """Return the Jobs that a service waits for; those that what it needs waits for come before that."""
    found = [d.service for d in service.depends_on if d.service in scope.jobs]
    return tuple(dict.fromkeys(found))


def in_order(project: Project) -> list[Service]:
    """Return the services, each behind what it depends on, else by name; the loader lets no cycle through."""
    found: dict[str, Service] = {}

    def visit(name: str) -> None:
        service = project.services.get(name)
        if service is None or name in found:
            return
        for dependency in sorted(service.depends_on, key=lambda one: one.service):
            visit(dependency.service)
        found[name] = service

    for name in sorted(project.services):
        visit(name)
    return list(found.values())


def object_id(item: Mapping[str, Any]) -> tuple[str, str]:
    """Return kind and name of an object."""
    return item["kind"], item["metadata"]["name"]
